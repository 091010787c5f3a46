"""Producer -> worker: cancelling a task for good.

Celery's revoke is a broadcast kept in the memory of the workers that heard it: a worker that starts later runs the
task. The mark in Redis is read before each start, so it holds over restarts and with no worker running.
"""

from __future__ import annotations

from celery import Celery

from app.runtime.clients import pooled
from app.runtime.keys import Keys

# Seconds: longer than any eta that a producer may ask for by default, and the life of the API's task records.
CANCEL_TTL = 7 * 86400


def cancel(app: Celery, task_id: str, *, terminate: bool) -> None:
    """Mark `task_id` cancelled, so that it doesn't start; with `terminate`, also end it in mid-run.

    Only then the workers are told: each that hears of a revoke and doesn't run the task stores REVOKED for it, which
    would be untrue of a task that is left to finish.

    Raises kombu's or redis-py's errors when Redis can't be reached.
    """
    with pooled(app) as client:
        client.set(Keys.of(app).cancelled(task_id), b"1", ex=CANCEL_TTL)
    if terminate:
        app.control.revoke(task_id, terminate=True, signal="SIGTERM")


def is_cancelled(app: Celery, task_id: str) -> bool:
    """Return whether `task_id` carries a cancel mark."""
    with pooled(app) as client:
        return bool(client.exists(Keys.of(app).cancelled(task_id)))
