"""A command line of the application, run as a person runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


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
