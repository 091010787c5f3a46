"""What a variable of an environment comes to, as Terraform itself reads its files, options and defaults."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from scripts.refused import Refused
from scripts.terraform import arguments
from scripts.terraform.command import Terraform

# As terraform fmt leaves them: over some lines, or in one.
BLOCK = re.compile(r'^variable "([\w-]+)" \{(?:[^\n]*\}$|\n.*?^\})', re.MULTILINE | re.DOTALL)

BEGINNING = re.compile(r'^\s*variable\s+"?[\w-]+"?\s*\{', re.MULTILINE)


def declared(folder: Path) -> dict[str, str]:
    """Return the blocks of an environment's variables, by name. Raises Refused for one that would be overlooked."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.tf")))
    found = list(BLOCK.finditer(text))
    names = {each[1] for each in found}
    if not len(names) == len(found) == len(BEGINNING.findall(text)) or any(folder.glob("*.tf.json")):
        raise Refused(
            f"The variables of {folder} can't be checked: write each once, in a file named .tf, with its name in "
            "quotes, and as terraform fmt does.",
            2,
        )
    return {each[1]: each[0] for each in found}


def read(terraform: Terraform, names: Iterable[str], options: Sequence[str]) -> dict[str, str]:
    """Return what these variables come to with `options` (arguments.checked): "" for one without a value, and nothing
    for one that isn't declared. Raises Refused for values that Terraform refuses to read.
    """
    # A folder with nothing but the variables asks for no provider, no module, no state and no lock.
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        blocks = declared(terraform.folder)
        (place / "variables.tf").write_text("\n".join(blocks.values()), encoding="utf-8")
        for path in (*terraform.folder.glob("*.tfvars"), *terraform.folder.glob("*.tfvars.json")):
            (place / path.name).symlink_to(path.resolve())
        given = [
            f"-{kind}={terraform.folder.resolve() / value if kind == 'var-file' else value}"
            for kind, value in arguments.variables(options)
        ]
        console = Terraform(place, terraform.environment)
        return {name: _value(console, name, given) for name in names if name in blocks}


def _value(console: Terraform, name: str, given: Sequence[str]) -> str:
    said = console.run(
        "console",
        *given,
        quiet=True,
        stdin=f"jsonencode(nonsensitive(var.{name}))",
        # Another's data say which backend it has, which here is none.
        env={"TF_DATA_DIR": str(console.folder / "data")},
    )
    # A string of HCL with JSON in it. What is unknown or null is no string in quotes; warnings may come before.
    last = said.strip().rpartition("\n")[2]
    found = json.loads(json.loads(last)) if last.startswith('"') else None
    return "" if found is None else str(found)
