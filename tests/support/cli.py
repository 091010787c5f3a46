"""A command line of the application, run as a person runs it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.conftest import LAID, ROOT


@dataclass(frozen=True)
class Ended:
    """What a command printed, its exit code, and the seconds it took."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def shell() -> dict[str, str]:
    """Return what a person's shell holds: this process's environment without what the tests, or make, lay in it."""
    laid = {*LAID, "MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
    return {name: value for name, value in os.environ.items() if name not in laid}


def typed(script: str, shell: Mapping[str, str], replaced: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run what a page says, as it stands there but for a test's own ports and folder; it has five minutes."""
    words = "|".join(map(re.escape, replaced))
    script = re.sub(rf"(?:{words})(?!\d)", lambda found: replaced[found[0]], script) if words else script
    words = ["bash", "-eu", "-o", "pipefail", "-c", script]
    return subprocess.run(
        words, cwd=ROOT, env=shell, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL
    )


def verb(module: str, shell: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """Run a verb of scripts/ as make does, from a shell that holds `shell`; it has five minutes."""
    return subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=ROOT,
        env=shell,
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )


def run(module: str, *arguments: str, text: str = "", env: dict[str, str] | None = None) -> Ended:
    """Run `python -m module arguments` with `text` on its stdin and `env` over this process's environment."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        input=text,
        capture_output=True,
        text=True,
        timeout=90,
    )
    return Ended(done.returncode, done.stdout, done.stderr, time.monotonic() - began)
