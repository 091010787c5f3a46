"""Packages that pin what the project needs otherwise: each file of them in an environment of its own, in the cache."""

from __future__ import annotations

import sys
from pathlib import Path

from scripts.cluster import cache
from scripts.progress import run, step
from scripts.refused import exit_with
from scripts.versions import ROOT

PIP = ("--quiet", "--disable-pip-version-check", "--no-input", "--require-hashes", "--only-binary", ":all:")


def programs(name: str) -> Path:
    """Return the folder with the programs of requirements/<name>.txt, installed at the first call. Raises Refused."""
    locked = ROOT / "requirements" / f"{name}.txt"
    key = cache.digest(locked.read_text(encoding="utf-8"), sys.version)
    folder = cache.root() / f"{name}-{key}"
    with cache.locked(folder.name):
        if not (folder / ".whole").is_file():
            with step(f"Installing {locked.relative_to(ROOT)}"):
                # In its last place at once: a virtual environment can't be moved.
                commands = (
                    [sys.executable, "-m", "venv", "--clear", str(folder)],
                    [str(folder / "bin" / "python"), "-m", "pip", "install", *PIP, "-r", str(locked)],
                )
                for command in commands:
                    run(command, hint="check the network, then run this again")
            (folder / ".whole").touch()
    return folder / "bin"


def main() -> int:
    """Install what the tests need, so that none of them waits for another's installing."""
    for name in ("terraform", "checkov"):
        programs(name)
    return 0


if __name__ == "__main__":
    exit_with(main)
