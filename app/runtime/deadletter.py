"""Worker -> operator: messages that no worker should run again until somebody has looked at them."""

from __future__ import annotations

import json
import time
from typing import Any, cast

from celery import Celery
from celery.worker.request import Request
from redis import Redis

from app.runtime import keys
from app.runtime.clients import pooled

# Per group; the newest stay. A record holds the message whole, so this bounds memory, too.
LIMIT = 1000


class DeadLetter(Exception):
    """A task was put among the dead letters instead of being started once more."""


def bury(client: Redis, group: str, request: Request, reason: str) -> None:
    """Keep the message of `request` in the dead letters of `group`. Raises redis-py's errors."""
    message = request.message
    record = {
        "id": request.id,
        "task": request.name,
        "queue": message.delivery_info.get("routing_key"),
        "reason": reason,
        "at": time.time(),
        "message": message._raw,
    }
    name = keys.dead_letters(group)
    client.hset(name, request.id, json.dumps(record))
    if client.hlen(name) > LIMIT:
        oldest = min(_records(client, group), key=lambda entry: entry["at"])
        client.hdel(name, oldest["id"])


def entries(app: Celery, group: str, limit: int = 100) -> list[dict[str, Any]]:
    """Return up to `limit` dead letters of `group`, newest first: id, task, queue, reason, at (unix seconds)."""
    with pooled(app) as client:
        records = sorted(_records(client, group), key=lambda entry: -entry["at"])[:limit]
    return [{name: value for name, value in record.items() if name != "message"} for record in records]


def replay(app: Celery, group: str, task_id: str) -> bool:
    """Put the dead letter `task_id` back on its queue; return False when there is none."""
    with pooled(app) as client:
        text = cast("bytes | None", client.hget(keys.dead_letters(group), task_id))
        if text is None:
            return False
        record = json.loads(text)
        message = record["message"]
        message["headers"].pop("redelivered", None)
        message["properties"]["delivery_info"].pop("redelivered", None)
        stale = list(client.scan_iter(match=keys.starts(task_id, "*"), count=1000))
        pipe = client.pipeline()
        pipe.lpush(record["queue"], json.dumps(message))
        pipe.hdel(keys.dead_letters(group), task_id)
        pipe.execute()
        if stale:
            client.delete(*stale)
    return True


def discard(app: Celery, group: str, task_id: str) -> bool:
    """Drop the dead letter `task_id`; return False when there is none."""
    with pooled(app) as client:
        return bool(client.hdel(keys.dead_letters(group), task_id))


def _records(client: Redis, group: str) -> list[dict[str, Any]]:
    return [json.loads(text) for text in cast("list[bytes]", client.hvals(keys.dead_letters(group)))]
