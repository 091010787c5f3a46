"""Logs: one JSON object a line, with the task it belongs to.

Fields of a task: task_id, task, queue, group, attempt (1 is the first), and the stamps of its canvas, such as the
order's id, which go from the request through every task and retry. Where there is tracing, `trace_id` names the trace,
also in the lines of a request. Arguments and results stay out.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

from celery import current_task
from celery.app import trace
from celery.signals import setup_logging
from pythonjsonlogger.json import JsonFormatter

from app.runtime import tracing
from app.runtime.handled import arrived, handled

# Celery's record of a received or finished task carries its arguments; these of its fields are safe.
_SAFE = {"id": "task_id", "name": "task", "runtime": "runtime"}


class TaskFields(logging.Filter):
    """Adds the fields of the task that runs, or that Celery's record tells of."""

    def __init__(self, group: str) -> None:
        super().__init__()
        self.group = group

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields; every record passes."""
        told = record.__dict__.pop("data", None) or (record.args if isinstance(record.args, dict) else {})
        for name, field in _SAFE.items():
            if name in told:
                setattr(record, field, told[name])
        if (arrival := arrived(told.get("id"))) is not None:
            record.queue, record.attempt = arrival.queue, (arrival.retries or 0) + 1
            self._add_trace(record, arrival.traceparent)
        if self.group:
            record.group = self.group
        if current_task and current_task.request.id:
            self._add(record, current_task.request)
        elif (request := handled()) is not None:
            # The main process ends what a pool process didn't.
            self._add(record, request._context)
        elif not hasattr(record, "trace_id"):
            self._add_trace(record, None)
        return True

    def _add(self, record: logging.LogRecord, request: Any) -> None:
        record.task_id, record.task = request.id, request.task
        record.queue = (request.delivery_info or {}).get("routing_key")
        record.attempt = (request.retries or 0) + 1
        for name in request.stamped_headers or ():
            value = (request.stamps or {}).get(name)
            setattr(record, name, value[0] if isinstance(value, list) and len(value) == 1 else value)
        self._add_trace(record, getattr(request, "traceparent", None))

    def _add_trace(self, record: logging.LogRecord, traceparent: object) -> None:
        if (trace := tracing.trace_id() or tracing.carried(traceparent)) is not None:
            record.trace_id = trace


def configure(level: str, style: str, group: str = "") -> None:
    """Write logs of `level` (debug, info, ...) to stderr, as `style` says: json or text."""
    handler = logging.StreamHandler(sys.stderr)
    if style == "json":
        names = {"asctime": "time", "levelname": "level", "name": "logger"}
        handler.setFormatter(JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s", rename_fields=names))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    handler.addFilter(TaskFields(group))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # It writes each URL with its query, where some services want their token.
    logging.getLogger("httpx").setLevel("WARNING")


def install(level: str, style: str, group: str = "") -> None:
    """Have Celery's processes log as `configure` does, instead of setting up logs of their own."""
    # The return value of a task may hold what its arguments held.
    trace.LOG_SUCCESS = "Task %(name)s[%(id)s] succeeded in %(runtime)ss"
    setup_logging.connect(lambda **_: configure(level, style, group), weak=False)
