"""What ARGS may say: options of terraform plan that the checks understand, and that leave the plan the one to apply."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from scripts.refused import Refused

WITH_VALUE = ("var", "var-file", "target", "replace", "parallelism", "lock-timeout")
ALONE = ("refresh", "refresh-only", "compact-warnings", "no-color")


def checked(arguments: Sequence[str]) -> list[str]:
    """Return options as `-name=value`. Raises Refused for any that would part the plan from what was checked, in ARGS
    or in the environment.
    """
    hidden = sorted(name for name in os.environ if name.startswith("TF_CLI_ARGS") and name != "TF_CLI_ARGS_init")
    if hidden:
        raise Refused(
            f"{hidden[0]} is set, which would change the plan behind the checks: unset it, and write ARGS='...'.", 2
        )
    found = []
    left = iter(arguments)
    for argument in left:
        option = re.fullmatch(r"--?([a-z-]+)(?:=(.*))?", argument, re.DOTALL)
        if not option or option[1] not in (*WITH_VALUE, *ALONE):
            raise Refused(_sentence(argument), 2)
        name, value = option.groups()
        if value is None and name in WITH_VALUE:
            value = next(left, None)
            if value is None:
                raise Refused(f"ARGS ends after {argument}: write {argument}=value.", 2)
        found.append(f"-{name}" if value is None else f"-{name}={value}")
    return found


def variables(options: Sequence[str]) -> list[tuple[str, str]]:
    """Return those of `checked` that give variables, in their order: `var` or `var-file`, and what it says."""
    pairs = (option.removeprefix("-").partition("=") for option in options)
    return [(name, value) for name, _, value in pairs if name in ("var", "var-file")]


def _sentence(argument: str) -> str:
    allowed = ", ".join(f"-{name}" for name in (*WITH_VALUE, *ALONE))
    way = "; make tf-destroy takes all of it away" if argument.lstrip("-") == "destroy" else ""
    return f"ARGS has {argument}, and may have {allowed}: anything else parts the plan from what was checked{way}."
