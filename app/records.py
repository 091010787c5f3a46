"""API and command lines -> Redis: which tasks were accepted, and which HTTP requests were answered already.

A record is written before its task is published, so an accepted task always has one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, cast

from redis import Redis
from redis.exceptions import RedisError

from app.store import remember_first

# Seconds that a record and the answer to an Idempotency-Key are kept: a week.
TTL = 7 * 86400
# Seconds until the work of a process that died with a key in its hands may be taken over. Longer than any request.
LOCK = 5.0
# Seconds that a repeated request waits for the first one.
WAIT = 2.0


class OtherBody(ValueError):
    """The Idempotency-Key was used with another body."""


class Busy(Exception):
    """Another request with the same Idempotency-Key is still under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """An accepted task. `steps` are the ids and names of the tasks it consists of, in order; for most just itself."""

    task_id: str
    steps: tuple[tuple[str, str], ...]


class Records:
    """Records on one Redis client; every name starts with `prefix`. Methods raise redis-py's errors."""

    def __init__(self, client: Redis, prefix: str) -> None:
        self.redis = client
        self._root = f"{prefix}accepted:"

    def put(self, records: Iterable[Record]) -> None:
        """Keep each record for TTL seconds, in one round trip."""
        pipe = self.redis.pipeline(transaction=False)
        for record in records:
            pipe.set(f"{self._root}task:{record.task_id}", json.dumps(asdict(record)), ex=TTL)
        pipe.execute()

    def get(self, task_id: str) -> Record | None:
        """Return the record of a task, or None when none was accepted under this id in the last TTL seconds."""
        text = cast("bytes | None", self.redis.get(f"{self._root}task:{task_id}"))
        if text is None:
            return None
        found = json.loads(text)
        return Record(task_id=found["task_id"], steps=tuple((step_id, name) for step_id, name in found["steps"]))

    def once(
        self, scope: str, key: str, body: str, answer: dict[str, str], publish: Callable[[dict[str, str]], None]
    ) -> dict[str, str]:
        """Return the answer to the first request with `key` in `scope`, after `publish` was called with it and ended.

        answer: what to answer if this is the first; it holds the ids, so that whoever takes over publishes the same.
        Raises OtherBody when the key came with another body, Busy after WAIT seconds, and what `publish` raises;
        then the next request with the key tries again, with the ids of the first.
        """
        name = f"{self._root}once:{scope}:{_digest(key)}"
        entry = {"body": _digest(body), "answer": answer, "done": False}
        found = self._entry(cast("bytes | None", self.redis.get(name)), entry)
        if found["done"]:
            return cast("dict[str, str]", found["answer"])
        lock = self.redis.lock(f"{name}:lock", timeout=LOCK, sleep=0.02, blocking_timeout=WAIT)
        if not lock.acquire():
            raise Busy
        try:
            # Reserved before anything is published: if this process dies in between, the ids are known.
            found = self._entry(remember_first(self.redis, name, json.dumps(entry), TTL), entry)
            if not found["done"]:
                publish(found["answer"])
                with suppress(RedisError):  # published is published: a repeat would use the same ids
                    self.redis.set(name, json.dumps({**found, "done": True}), ex=TTL)
        finally:
            with suppress(RedisError):  # it lapses
                lock.release()
        return cast("dict[str, str]", found["answer"])

    def _entry(self, text: Any, mine: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = mine if text is None else json.loads(text)
        if found["body"] != mine["body"]:
            raise OtherBody
        return found


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
