"""Tests and drills -> worker: tasks that sleep, fail, die and swell on request. Only there with FAULT_TASKS on."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from app.celery_app import app
from app.store import store


@app.task(name="tasks.faults.sleep", bind=True)
def sleep(self: Any, seconds: float, record: str = "") -> float:
    """Sleep for some seconds; with a name in `record`, write its start and end to the store's runs of that name."""
    _record(self, record, "start")
    # In slices, so that a signal that a C call would hold back is not late.
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.2))
    _record(self, record, "end")
    return seconds


@app.task(name="tasks.faults.fail", bind=True, max_retries=0)
def fail(self: Any, message: str = "asked to fail", record: str = "") -> None:
    """Fail with a RuntimeError."""
    _record(self, record, "start")
    raise RuntimeError(message)


@app.task(name="tasks.faults.exit", bind=True)
def end_process(self: Any, code: int = -signal.SIGKILL, record: str = "") -> None:
    """End the process that runs the task: a negative code is a signal, any other an exit code."""
    _record(self, record, "start")
    if code < 0:
        os.kill(os.getpid(), -code)
        time.sleep(60)
    os._exit(code)


@app.task(name="tasks.faults.allocate", bind=True)
def allocate(self: Any, megabytes: int, seconds: float = 0, record: str = "") -> int:
    """Take some MiB of memory, for real, and hold them for some seconds."""
    _record(self, record, "start")
    # Filled: an untouched page costs nothing.
    held = bytearray(b"\1") * (megabytes * 1024 * 1024)
    time.sleep(seconds)
    _record(self, record, "end")
    return len(held)


def _record(task: Any, name: str, what: str) -> None:
    if name:
        event = {"what": what, "task_id": task.request.id, "pid": os.getpid(), "at": time.time()}
        store().record_run(name, {**event, "retries": task.request.retries})
