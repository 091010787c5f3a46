"""Worker: ending a task in the main process the way Celery would have ended it in the pool."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from billiard.exceptions import WorkerLostError
from celery import signals
from celery.worker import state
from celery.worker.request import Request


class TaskMemoryError(Exception):
    """A task ran out of memory, and its process survived."""


def fail(request: Request, error: Exception) -> None:
    """Store `error` as the task's failure, call its errbacks, and acknowledge its message."""
    request.task.backend.mark_as_failure(
        request.id, error, request=request._context, store_result=request.store_errors, call_errbacks=True
    )
    signals.task_failure.send(
        sender=request.task, task_id=request.id, exception=error, args=request.args, kwargs=request.kwargs,
        traceback=None, einfo=None,
    )
    state.task_ready(request)
    request.acknowledge()


def watch(request: Request, bury: Callable[[Request, str], None]) -> None:
    """See to the two failures that Celery handles badly.

    A MemoryError inside a task becomes its ordinary failure: Celery raises it again in the worker's main process,
    which ends the worker and repeats the siblings' tasks. A task that has killed its process as often as its
    max_retries allow is handed to `bury`, so that it can be looked at and replayed.
    """
    on_failure = request.on_failure

    def watched(exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        cause = getattr(exc_info.exception, "exc", exc_info.exception)
        if isinstance(cause, MemoryError):
            exc_info.exception = TaskMemoryError(str(cause) or "the task ran out of memory")
        elif isinstance(cause, WorkerLostError) and _retries_spent(request):
            bury(request, f"it killed its process: {cause}")
        return on_failure(exc_info, *args, **kwargs)

    request.on_failure = watched


def _retries_spent(request: Request) -> bool:
    allowed = request.task.max_retries
    return allowed is not None and (request.request_dict.get("retries") or 0) >= allowed
