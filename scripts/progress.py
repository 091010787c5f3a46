"""Steps that take a while: what is being done, for how long, and where its output went when it failed."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from scripts.refused import Refused

# Seconds between two signs of life: on a terminal the line is rewritten, in a log a new one is written.
ON_A_TERMINAL, IN_A_LOG = 1, 30


@contextmanager
def step(what: str) -> Iterator[None]:
    """Show on stderr that `what` is being done, with the seconds so far; it is a phrase like `Building kind 0.33.0`."""
    began, ended = time.monotonic(), threading.Event()
    terminal = sys.stderr.isatty()

    def line(mark: str, end: str) -> None:
        print(f"{mark}{what}  {time.monotonic() - began:.0f} s", file=sys.stderr, end=end, flush=True)

    def tick() -> None:
        while not ended.wait(ON_A_TERMINAL if terminal else IN_A_LOG):
            line("\r" if terminal else "  ", "" if terminal else "\n")

    ticking = threading.Thread(target=tick, daemon=True)
    ticking.start()
    try:
        yield
    finally:
        ended.set()
        ticking.join()
        line("\r" if terminal else "  ", "\n")


def run(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
    timeout: float | None = None,
    hint: str = "see above",
) -> str:
    """Run a command and return its stdout. Raises Refused with `hint`, a way out, when it fails.

    `timeout` is in seconds.
    """
    name = shlex.join(str(part) for part in command[:3])
    with tempfile.TemporaryFile("w+") as errors:
        try:
            done = subprocess.run(
                [str(part) for part in command],
                env=env,
                cwd=cwd,
                input=stdin,
                stdin=subprocess.DEVNULL if stdin is None else None,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                timeout=timeout,
            )
        except FileNotFoundError:
            raise Refused(f"There is no {command[0]} on this machine: {hint}.") from None
        except subprocess.TimeoutExpired:
            raise Refused(f"`{name} ...` did not end within {timeout:.0f} s: {hint}.") from None
        if done.returncode:
            errors.seek(0)
            said = (errors.read() + done.stdout).strip().splitlines()[-15:]
            details = "\n".join(f"    {text}" for text in said)
            raise Refused(f"`{name} ...` failed with exit code {done.returncode}: {hint}.", details=details)
    return done.stdout
