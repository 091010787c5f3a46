"""What is built once and kept, outside the clone: a folder per thing, named after a hash of what goes into it."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from scripts import locks


def root() -> Path:
    """Return the cache's folder; it need not exist yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "celery-on-kubernetes"


def digest(*inputs: object) -> str:
    """Return a short name for all that goes into a thing."""
    return hashlib.sha256("\0".join(map(str, inputs)).encode()).hexdigest()[:12]


def locked(name: str) -> AbstractContextManager[None]:
    """Keep other runs out while this one makes `name`; they wait."""
    return locks.alone(root() / "locks" / name)


def keep(name: str, key: str, make: Callable[[Path], None]) -> Path:
    """Return the folder of a thing, having `make` fill it first if it is not there. A cut-off `make` leaves no half."""
    folder = root() / f"{name}-{key}"
    if folder.is_dir():
        return folder
    with locked(folder.name):
        if not folder.is_dir():
            partial = folder.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            make(partial)
            partial.rename(folder)
    return folder
