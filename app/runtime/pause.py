"""Operator -> worker: pausing a queue so that it stays paused over restarts. Workers follow within seconds."""

from __future__ import annotations

from typing import cast

from celery import Celery

from app.runtime.clients import pooled
from app.runtime.keys import Keys


def pause(app: Celery, queue: str) -> None:
    """Have every worker stop taking from `queue`; what runs, runs on."""
    with pooled(app) as client:
        client.sadd(Keys.of(app).paused(), queue)


def resume(app: Celery, queue: str) -> None:
    """Have the workers take from `queue` again."""
    with pooled(app) as client:
        client.srem(Keys.of(app).paused(), queue)


def paused(app: Celery) -> set[str]:
    """Return the names of the paused queues."""
    with pooled(app) as client:
        return {name.decode() for name in cast("set[bytes]", client.smembers(Keys.of(app).paused()))}
