"""Files that a program writes, and that `--check` compares with what it would write."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path


def checks(argv: list[str] | None, prog: str, description: str | None) -> bool:
    """Read the command line and return whether files are to be compared and not written."""
    parser = argparse.ArgumentParser(prog=prog, description=description)
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 when it is out of date")
    return bool(parser.parse_args(argv).check)


def stale(folder: Path, wanted: Mapping[str, str], own: str = "") -> list[str]:
    """Return the names in `folder` that differ from `wanted`, a text by name, or are missing.

    `own` is the pattern of files that nobody else writes: what it finds beside those wanted is stale, too.
    """
    there = {name for name in wanted if (folder / name).is_file()}
    there |= {str(path.relative_to(folder)) for path in folder.glob(own) if path.is_file()} if own else set()
    same = {name for name in there & set(wanted) if (folder / name).read_bytes() == wanted[name].encode()}
    return sorted((there | set(wanted)) - same)


def write(folder: Path, wanted: Mapping[str, str], names: list[str]) -> None:
    """Make each of the stale `names` what is wanted, or remove it."""
    for name in names:
        path = folder / name
        if name in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[name], encoding="utf-8")
        else:
            path.unlink()


def settle(check: bool, folder: Path, wanted: Mapping[str, str], sentence: str, own: str = "") -> int:
    """Write what is stale, or with `check` say so: `sentence` has a place for `{name}`. Return the exit code."""
    names = stale(folder, wanted, own)
    if not check:
        write(folder, wanted, names)
        return 0
    for name in names:
        print(sentence.format(name=name), file=sys.stderr)
    return 1 if names else 0
