"""Broker -> exporter: memory, eviction, persistence and clients of the server.

From INFO, because a managed Redis refuses CONFIG.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Server:
    """The server at one moment; None is what it does not tell.

    memory, memory_limit: bytes; a server without a limit has None. evicted: keys that it dropped for want of memory.
    keeps_all: it refuses to write when its memory is full, instead of dropping a message (noeviction).
    appends: it writes an append-only file. wrote: the last write to disk succeeded, of that file and of a snapshot.
    """

    memory: int | None
    memory_limit: int | None
    evicted: int | None
    keeps_all: bool | None
    appends: bool | None
    wrote: bool | None
    clients: int | None
    clients_limit: int | None
    uptime: int | None


def parse(info: Mapping[str, Any]) -> Server:
    """Return what INFO says; what is missing in it, or is no number, is None."""

    def number(name: str) -> int | None:
        value = info.get(name)
        return value if isinstance(value, int) else None

    policy, appends = info.get("maxmemory_policy"), number("aof_enabled")
    writes = [info[name] for name in ("aof_last_write_status", "rdb_last_bgsave_status") if name in info]
    return Server(
        memory=number("used_memory"),
        memory_limit=number("maxmemory") or None,
        evicted=number("evicted_keys"),
        keeps_all=None if policy is None else policy == "noeviction",
        appends=None if appends is None else bool(appends),
        wrote=all(word == "ok" for word in writes) if writes else None,
        clients=number("connected_clients"),
        clients_limit=number("maxclients"),
        uptime=number("uptime_in_seconds"),
    )
