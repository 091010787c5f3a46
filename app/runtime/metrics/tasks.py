"""Celery -> numbers: what happened to each message, from Celery's signals and from the callbacks of its requests.

Signals alone don't tell: those of a task's end are sent in the pool process. The callbacks of a request run in the main
process for every pool; the signals that are sent there too, out of such a callback, tell what it decided.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from billiard.einfo import ExceptionWithTraceback
from billiard.exceptions import WorkerLostError
from billiard.process import current_process
from celery import Celery, signals
from celery.exceptions import Ignore, NotRegistered, Reject, Retry
from celery.worker.request import Request

from app.runtime import limits
from app.runtime.handled import handled
from app.runtime.metrics.labels import Labels, class_name
from app.runtime.metrics.numbers import Numbers
from app.runtime.metrics.shared import Rows
from app.runtime.metrics.trouble import quietly

SENT = "celery_task_sent"
RECEIVED, STARTED, SUCCEEDED = "celery_task_received", "celery_task_started", "celery_task_succeeded"
FAILED, RETRIED = "celery_task_failed", "celery_task_retried"
REVOKED, REJECTED, DEAD_LETTER = "celery_task_revoked", "celery_task_rejected", "celery_task_dead_letter"
RUNTIME, QUEUE_WAIT = "celery_task_runtime", "celery_task_queue_wait_time"

# Those that a received task brings to the page with a 0, so that Prometheus sees the first of each as an increase.
AT_ONCE = (STARTED, SUCCEEDED, REVOKED, REJECTED, DEAD_LETTER)


class Tasks:
    """What one process counts of tasks."""

    def __init__(self, app: Celery, group: str, pool_size: int = 0) -> None:
        """pool_size: how many pool processes there may be at a time."""
        self.group, self.numbers = group, Numbers()
        self._names, self._queues, self._exceptions = Labels(known=app.tasks), Labels(), Labels()
        # As bounded as the labels are.
        self._seen: set[tuple[str, ...]] = set()
        self._rows = Rows(sorted(app.tasks), sorted(app.amqp.queues), pool_size) if pool_size else None

    def count(self, metric: str, name: object, queue: object, error: BaseException | None = None) -> None:
        """Count a task, with the class of `error` if there is one."""
        exception = () if error is None else (self._exceptions.of(class_name(error)),)
        self.numbers.count(metric, *self._pair(name, queue), self.group, *exception)

    def sent(self, name: object, queue: object) -> None:
        """Count a published task."""
        self.numbers.count(SENT, *self._pair(name, queue))

    def sent_totals(self) -> dict[tuple[str, ...], int]:
        """Return what this process and its pool's published, by task and queue."""
        totals = self.numbers.counters(SENT)
        for (name, queue), times in (self._rows.totals() if self._rows else {}).items():
            totals[self._pair(name, queue)] += times
        return totals

    def received(self, request: Request) -> None:
        """Count a message that came."""
        labels = (*self._pair(*_of(request)), self.group)
        if labels not in self._seen:
            self._seen.add(labels)
            for metric in AT_ONCE:
                self.numbers.count(metric, *labels, by=0)
        self.numbers.count(RECEIVED, *labels)

    def started(self, request: Request) -> None:
        """Count a task that a pool process took, and how long it was due: published, and its eta come."""
        labels = (*self._pair(*_of(request)), self.group)
        self.numbers.count(STARTED, *labels)
        published = request.request_dict.get("enqueued_at")
        # A message from a producer without the runtime doesn't say when it was published.
        if isinstance(published, int | float):
            due = max(float(published), limits.unix_eta(request.request_dict.get("eta")))
            began = request.time_start or time.time()
            self.numbers.observe(QUEUE_WAIT, *labels, seconds=max(0.0, began - due))

    def succeeded(self, request: Request, seconds: float | None) -> None:
        """Count a task that ended well, and its seconds where they are known."""
        labels = (*self._pair(*_of(request)), self.group)
        self.numbers.count(SUCCEEDED, *labels)
        if seconds is not None:
            self.numbers.observe(RUNTIME, *labels, seconds=seconds)

    def in_pool_process(self, row: int) -> None:
        """Have this process, one of the pool's, count what it publishes, in a row of its own."""
        if self._rows is not None:
            self._rows.take(row)
            _state.rows = self._rows

    def _pair(self, name: object, queue: object) -> tuple[str, str]:
        return self._names.of(name), self._queues.of(queue)


class _Process:
    """Who counts in this process. After a fork nobody does: what the parent has is the parent's."""

    tasks: Tasks | None = None
    inherited: Tasks | None = None
    rows: Rows | None = None

    def forked(self) -> None:
        if self.rows is not None:
            self.rows.leave()
        self.tasks, self.inherited, self.rows = None, self.tasks, None


_state = _Process()
os.register_at_fork(after_in_child=_state.forked)


def listen(tasks: Tasks) -> None:
    """Have `tasks` count what happens in this process from now on."""
    _state.tasks = tasks
    for signal, receiver in (
        (signals.after_task_publish, _published),
        (signals.task_received, _received),
        (signals.task_revoked, _revoked),
        (signals.task_rejected, _rejected),
        (signals.task_unknown, _unknown),
        (signals.task_failure, _decided_failure),
        (signals.task_retry, _decided_retry),
        (signals.worker_process_init, _entered_pool),
    ):
        signal.connect(receiver, weak=False)


def follow(request: Request) -> None:
    """Count how `request`, which is about to go to the pool, starts and ends."""
    if _state.tasks is None:
        return
    on_accepted, on_success, on_failure = request.on_accepted, request.on_success, request.on_failure

    def accepted(*args: Any, **kwargs: Any) -> Any:
        try:
            return on_accepted(*args, **kwargs)
        finally:
            _started(request)

    def succeeded(answer: Sequence[Any], **kwargs: Any) -> Any:
        if not answer[0]:
            _succeeded(request, answer[2])
        return on_success(answer, **kwargs)

    def failed(exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        left = on_failure(exc_info, *args, **kwargs)
        if left is not LEFT:
            _ended_badly(request, exc_info, bool(kwargs.get("return_ok")))
        return left

    request.on_accepted, request.on_success, request.on_failure = accepted, succeeded, failed


# What an `on_failure` returns that leaves the message for another start: nothing has ended.
LEFT = object()


def _failed(request: Request, error: BaseException) -> None:
    if _state.tasks is not None and _first_end(request):
        _state.tasks.count(FAILED, *_of(request), error)


@quietly
def buried(request: Request) -> None:
    """Count `request`, which went to the dead letters."""
    if _state.tasks is not None:
        _state.tasks.count(DEAD_LETTER, *_of(request))


@quietly
def _started(request: Request) -> None:
    if _state.tasks is not None:
        _state.tasks.started(request)


@quietly
def _succeeded(request: Request, seconds: float | None) -> None:
    if _state.tasks is not None and _first_end(request):
        _state.tasks.succeeded(request, seconds)


@quietly
def _ended_badly(request: Request, exc_info: Any, told_by_pool: bool) -> None:
    error = exc_info.exception
    error = error.exc if isinstance(error, ExceptionWithTraceback) else error
    if isinstance(error, Reject):
        _count(REJECTED, request)
    elif isinstance(error, Retry):
        if _first_end(request):
            _count(RETRIED, request, error.exc or error)
    elif isinstance(error, Ignore):
        return
    elif told_by_pool:
        _failed(request, error)
    elif isinstance(error, WorkerLostError) and request.acknowledged:
        # Neither repeated nor failed: its success was stored before the process died.
        _succeeded(request, None)


def _count(metric: str, request: Request, error: BaseException | None = None) -> None:
    if _state.tasks is not None:
        _state.tasks.count(metric, *_of(request), error)


@quietly
def _published(sender: object = None, routing_key: object = None, **_: Any) -> None:
    if _state.tasks is not None:
        _state.tasks.sent(sender, routing_key)
    elif _state.rows is not None:
        _state.rows.count(str(sender), str(routing_key))


@quietly
def _received(request: Request, **_: Any) -> None:
    if _state.tasks is not None:
        _state.tasks.received(request)


@quietly
def _revoked(sender: Any = None, request: Any = None, **_: Any) -> None:
    # Only the main process revokes; what it hands over is the context of the task.
    if _state.tasks is not None:
        _state.tasks.count(REVOKED, sender.name, (request.delivery_info or {}).get("routing_key"))


@quietly
def _rejected(message: Any = None, **_: Any) -> None:
    # A message that is no task, or none that can be read.
    if _state.tasks is not None:
        headers = message.headers if isinstance(message.headers, dict) else {}
        _state.tasks.count(REJECTED, headers.get("task"), message.delivery_info.get("routing_key"))


@quietly
def _unknown(message: Any = None, name: object = None, **_: Any) -> None:
    if _state.tasks is not None:
        queue = message.delivery_info.get("routing_key")
        _state.tasks.count(REJECTED, name, queue)
        _state.tasks.count(FAILED, name, queue, NotRegistered(str(name)))


@quietly
def _decided_failure(exception: BaseException | None = None, **_: Any) -> None:
    request = handled()
    if request is not None and exception is not None:
        _failed(request, exception)


@quietly
def _decided_retry(reason: Any = None, **_: Any) -> None:
    request = handled()
    if request is not None and reason is not None and _first_end(request):
        _count(RETRIED, request, getattr(reason, "exc", None) or reason)


@quietly
def _entered_pool(**_: Any) -> None:
    if _state.inherited is not None:
        _state.inherited.in_pool_process(current_process().index)


def _first_end(request: Request) -> bool:
    # A task that exceeds its hard limit is reported twice.
    first, request.end_is_counted = not getattr(request, "end_is_counted", False), True
    return first


def _of(request: Request) -> tuple[object, object]:
    return request.task.name, request.delivery_info.get("routing_key")
