"""Worker: whose message the main process has in its hands, for logs and numbers of what happens meanwhile."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from celery.worker.request import Request


class Arrival(NamedTuple):
    """The message that came last: the id of its task, its queue, how often the task was tried before, and its trace."""

    id: Any
    queue: Any
    retries: Any
    traceparent: Any


class _Hands(threading.local):
    request: Request | None = None
    arrival: Arrival | None = None


_hands = _Hands()


@contextmanager
def handling(request: Request) -> Iterator[None]:
    """Say that this thread sees to `request`."""
    before, _hands.request = _hands.request, request
    try:
        yield
    finally:
        _hands.request = before


def handled() -> Request | None:
    """Return the request that this thread sees to."""
    return _hands.request


def arrive(message: Any) -> None:
    """Note the message that this thread was given; Celery's word of it has neither queue nor attempt."""
    headers = message.headers
    _hands.arrival = Arrival(
        headers.get("id"), message.delivery_info.get("routing_key"), headers.get("retries"), headers.get("traceparent")
    )


def _empty() -> None:
    _hands.request = _hands.arrival = None


# What the main process has in its hands is none of a pool process's.
os.register_at_fork(after_in_child=_empty)


def arrived(task_id: Any) -> Arrival | None:
    """Return the arrival of that task if it was the last."""
    last = _hands.arrival
    return last if last is not None and last.id == task_id else None
