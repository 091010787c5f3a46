"""Worker: ending a task in the main process the way Celery would have ended it in the pool."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from billiard.exceptions import WorkerLostError
from celery import signals
from celery.exceptions import Reject
from celery.utils.log import get_logger
from celery.worker import state
from celery.worker.request import Request
from kombu.exceptions import OperationalError

from app.runtime import metrics
from app.runtime.handled import handling
from app.runtime.transport import abandon

logger = get_logger(__name__)


class TaskMemoryError(Exception):
    """A task ran out of memory, and its process survived."""


def fail(request: Request, error: Exception) -> None:
    """Store `error` as the task's failure, call its errbacks, and acknowledge its message."""
    request.task.backend.mark_as_failure(
        request.id, error, request=request._context, store_result=request.store_errors, call_errbacks=True
    )
    signals.task_failure.send(
        sender=request.task,
        task_id=request.id,
        exception=error,
        args=request.args,
        kwargs=request.kwargs,
        traceback=None,
        einfo=None,
    )
    state.task_ready(request)
    request.acknowledge()


def watch(request: Request, bury: Callable[[Request, str], None]) -> None:
    """See to the failures that Celery handles badly.

    A task whose retry, or whose next in a chain, could not be published because the broker is away is left unsettled,
    and runs again after a lease: Celery would take its message out of Redis and lose what was to follow. The same
    holds when its failure can't be stored or buried.
    A MemoryError inside a task becomes its ordinary failure: Celery raises it again in the worker's main process,
    which ends the worker and repeats the siblings' tasks. A task that has killed its process as often as its
    max_retries allow is handed to `bury`, so that it can be looked at and replayed.
    """
    on_failure, on_timeout = request.on_failure, request.on_timeout

    def watched(exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        cause = getattr(exc_info.exception, "exc", exc_info.exception)
        if isinstance(cause, MemoryError):
            exc_info.exception = TaskMemoryError(str(cause) or "the task ran out of memory")
        try:
            with handling(request):
                if _publish_failed(cause):
                    raise cause
                if isinstance(cause, WorkerLostError) and _retries_spent(request):
                    bury(request, f"it killed its process: {cause}")
                return on_failure(exc_info, *args, **kwargs)
        except Exception as error:
            if request.acknowledged:
                raise
            logger.warning("Task %s[%s] runs again after a lease: %s", request.name, request.id, error)
            state.task_ready(request)
            request.acknowledged = True
            abandon(request.message, forgiven=isinstance(cause, Reject))
            return metrics.LEFT

    def timed_out(soft: bool, timeout: float) -> None:
        with handling(request):
            on_timeout(soft, timeout)

    request.on_failure, request.on_timeout = watched, timed_out


def _publish_failed(cause: BaseException) -> bool:
    reason = cause.reason if isinstance(cause, Reject) and not cause.requeue else cause
    return isinstance(reason, OperationalError)


def _retries_spent(request: Request) -> bool:
    allowed = request.task.max_retries
    return allowed is not None and (request.request_dict.get("retries") or 0) >= allowed
