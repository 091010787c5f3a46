"""Probe: says whether a worker or a beat is alive by the age of its heartbeat file.

Exit code 0 when it is, 1 when it isn't (with the reason), 2 for bad usage. Imports nothing of Celery: it starts in
the time of a bare Python.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

# What each component touches, and the age in seconds from which it counts as dead.
FILES = {"worker": ("alive", 30.0), "beat": ("tick", 60.0)}


def age(path: Path) -> float | None:
    """Return the seconds since `path` was touched, None when it is not there."""
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except FileNotFoundError:
        return None


def check(component: str, folder: Path, max_age: float | None = None, ready: bool = False) -> tuple[bool, str]:
    """Return whether `component`, which keeps its files in `folder`, is healthy, and a sentence that says why."""
    name, default = FILES[component]
    limit = default if max_age is None else max_age
    path = folder / name
    seconds = age(path)
    if seconds is None:
        return False, f"{component} has not touched {path}: it has not started, or CELERY_HEARTBEAT_DIR differs"
    if seconds > limit:
        return False, f"{component} touched {path} {seconds:.0f} s ago, allowed are {limit:.0f} s"
    if ready and not (folder / "ready").exists():
        return False, f"{component} lives, but takes no work: {folder / 'ready'} is not there"
    return True, f"{component} touched {path} {seconds:.0f} s ago"


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m app.runtime.health", description=__doc__)
    parser.add_argument("component", choices=sorted(FILES))
    parser.add_argument(
        "--dir", default=os.environ.get("CELERY_HEARTBEAT_DIR", ""), help="default: CELERY_HEARTBEAT_DIR"
    )
    parser.add_argument("--max-age", type=float, help="seconds from which the file is too old")
    parser.add_argument("--ready", action="store_true", help="a worker must also take work")
    parser.add_argument("--json", action="store_true", help="print an object with healthy and reason")
    arguments = parser.parse_args(argv)
    if not arguments.dir:
        parser.error("no folder: set CELERY_HEARTBEAT_DIR, or give --dir")
    healthy, reason = check(arguments.component, Path(arguments.dir), arguments.max_age, arguments.ready)
    print(json.dumps({"healthy": healthy, "reason": reason}) if arguments.json else reason)
    return 0 if healthy else 1


if __name__ == "__main__":
    sys.exit(main())
