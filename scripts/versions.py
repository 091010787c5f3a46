"""The pinned versions of versions.env."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from scripts.refused import Refused

ROOT = Path(__file__).resolve().parents[1]


@cache
def _pins() -> dict[str, str]:
    lines = (ROOT / "versions.env").read_text().splitlines()
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, value in pairs}


def pinned(name: str) -> str:
    """Return a pin such as `KIND_VERSION`. Raises Refused for a name that is not there."""
    try:
        return _pins()[name]
    except KeyError:
        raise Refused(f"versions.env has no {name}: add a line {name}=... to it.") from None


def numbers(version: str) -> tuple[int, ...]:
    """Return `v1.37.2` as (1, 37, 2), for comparing; what follows a dash or a plus does not count."""
    return tuple(int(part) for part in version.removeprefix("v").split("-")[0].split("+")[0].split("."))
