"""Whether a process of the stack does its work: asked as its description says, never guessed from its being there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import httpx
from redis import Redis
from redis.exceptions import RedisError

from scripts.refused import Refused
from scripts.stack.place import Place
from scripts.stack.process import Process
from scripts.stack.supervision import Supervisor


def is_ready(place: Place, process: Process, state: dict[str, Any]) -> bool:
    """Return whether `process`, of which supervisor says `state`, is ready."""
    if state["statename"] not in ("STARTING", "RUNNING"):
        return False
    match process.ready.kind:
        case "redis":
            return _answers_ping(place)
        case "http":
            return _answers(process.ready.target)
        case "file":
            path = Path(process.ready.target)
            # A file of an earlier life says nothing; supervisor knows whole seconds only.
            return path.exists() and path.stat().st_mtime >= state["start"]


def wait(
    place: Place,
    supervisor: Supervisor,
    processes: Iterable[Process],
    seconds: float,
    tell: Callable[[str, float], None],
) -> None:
    """Return when every process is ready; `tell` hears of each, with the seconds it took.

    Raises Refused with the last line of its log for one that can't start, or isn't ready after `seconds`.
    """
    started, missing = time.monotonic(), {process.name: process for process in processes}
    while missing:
        states = supervisor.states()
        for name, process in list(missing.items()):
            if is_ready(place, process, states[name]):
                tell(name, time.monotonic() - started)
                del missing[name]
            elif states[name]["statename"] == "FATAL":
                raise Refused(f"{name} does not start: {_last_line(place, name)} (all of it: make logs NAME={name})")
        if missing and time.monotonic() - started > seconds:
            name = next(iter(missing))
            raise Refused(
                f"{name} is not ready after {seconds:.0f} s: {_last_line(place, name)} (all: make logs NAME={name})"
            )
        time.sleep(0.1)


def _last_line(place: Place, name: str) -> str:
    try:
        lines = place.log(name).read_text(errors="replace").splitlines()
    except OSError:
        return "it left no log"
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "its log is empty")


def _answers_ping(place: Place) -> bool:
    try:
        with Redis.from_url(place.redis_url(), socket_timeout=1, socket_connect_timeout=1) as client:
            return bool(client.ping())
    except (RedisError, OSError):
        return False


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
