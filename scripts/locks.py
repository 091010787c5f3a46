"""What only one run may do at a time; the lock ends with the process that holds it."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.refused import Refused


@contextmanager
def alone(path: Path, busy: str = "") -> Iterator[None]:
    """Hold the lock at `path`, in a folder for its owner; raises Refused with `busy`, or waits when that is empty."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
        except BlockingIOError:
            raise Refused(busy) from None
        yield
