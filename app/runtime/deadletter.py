"""Worker -> operator: messages that no worker should run again until somebody has looked at them."""

from __future__ import annotations

import json
import time
from typing import Any, cast

from celery import Celery
from celery.worker.request import Request
from redis import Redis

from app.runtime.clients import pooled
from app.runtime.keys import Keys
from app.runtime.lease import Run

# Per group; the newest stay. A record holds the message whole, so this bounds memory, too.
LIMIT = 1000


class DeadLetter(Exception):
    """A task was put among the dead letters instead of being started once more."""


def bury(client: Redis, name: str, request: Request, run: Run, reason: str) -> None:
    """Keep the message of `request`, whose marks are those of `run`, in the hash `name`.

    Raises redis-py's errors.
    """
    message = request.message
    record = {
        "id": request.id,
        "task": request.name,
        "queue": message.delivery_info.get("routing_key"),
        "reason": reason,
        "at": time.time(),
        "marks": [run.starts, run.mark],
        "message": message._raw,
    }
    client.hset(name, request.id, json.dumps(record))
    if client.hlen(name) > LIMIT:
        oldest = min(_records(client, name), key=lambda entry: entry["at"])
        client.hdel(name, oldest["id"])


def entries(app: Celery, group: str, limit: int = 100) -> list[dict[str, Any]]:
    """Return up to `limit` dead letters of `group`, newest first: id, task, queue, reason, at (unix seconds)."""
    with pooled(app) as client:
        records = sorted(_records(client, Keys.of(app).dead_letters(group)), key=lambda entry: -entry["at"])[:limit]
    return [{name: value for name, value in record.items() if name not in ("message", "marks")} for record in records]


def replay(app: Celery, group: str, task_id: str) -> bool:
    """Put the dead letter `task_id` back on its queue; return False when there is none."""
    names = Keys.of(app)
    with pooled(app) as client:
        text = cast("bytes | None", client.hget(names.dead_letters(group), task_id))
        if text is None:
            return False
        record = json.loads(text)
        message = record["message"]
        message["headers"].pop("redelivered", None)
        message["properties"]["delivery_info"].pop("redelivered", None)
        pipe = client.pipeline()
        pipe.lpush(names.waiting_at(record["queue"], message["properties"].get("priority")), json.dumps(message))
        pipe.hdel(names.dead_letters(group), task_id)
        pipe.delete(*record["marks"])
        pipe.execute()
    return True


def discard(app: Celery, group: str, task_id: str) -> bool:
    """Drop the dead letter `task_id`; return False when there is none."""
    names = Keys.of(app)
    with pooled(app) as client:
        return bool(client.hdel(names.dead_letters(group), task_id))


def _records(client: Redis, name: str) -> list[dict[str, Any]]:
    return [json.loads(text) for text in cast("list[bytes]", client.hvals(name))]
