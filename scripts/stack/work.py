"""Real work through every queue of a fresh stack: what `make up` shows before it says that the stack is up.

A mail and an order go through the HTTP API, the other tasks are published as a producer does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from scripts import work
from scripts.refused import Refused
from scripts.stack.place import Place

# Task name, its queue by the routes, and arguments, for what the API does not send.
PUBLISHED: tuple[tuple[str, str, list[str]], ...] = (
    ("tasks.check_status", "default", []),
    ("tasks.report.generate", "report", ["weekly"]),
    ("tasks.high_priority.check_stock", "high", ["book"]),
)
LOGS = "make logs NAME=api"


@dataclass(frozen=True)
class Done:
    """A task that went through: `seconds` from its publish to its result being seen."""

    queue: str
    task: str
    state: str
    seconds: float
    shown: str


def run(place: Place, timeout: float = 60) -> Iterator[Done]:
    """Send the work and yield each task as it is done. Raises Refused for one that fails or takes too long."""
    # Reads the settings when it is imported: `up` lays them before.
    from app.celery_app import app

    with work.client(place.url("api"), place.api_token) as api:
        mail = work.post(api, "/send-email", work.mail("It came over SMTP, from a worker."), LOGS)
        waiting = {mail: ("email", "tasks.email.send_email", time.monotonic())}
        order = work.post(api, "/orders", work.ORDER, LOGS)
        waiting[order] = ("high_priority", "the order: process, pay, receipt", time.monotonic())
        for name, queue, arguments in PUBLISHED:
            task = app.send_task(name, arguments, expires=timeout)
            waiting[task.id] = (queue, name, time.monotonic())
        deadline = time.monotonic() + timeout
        while waiting:
            for task_id, (queue, name, since) in list(waiting.items()):
                result = app.AsyncResult(task_id)
                if result.state == "FAILURE":
                    raise Refused(f"{name} failed: {result.result} (see make logs).")
                if result.state == "SUCCESS":
                    del waiting[task_id]
                    shown = _shown(place, name, result.result)
                    yield Done(queue, name, "SUCCESS", round(time.monotonic() - since, 2), shown)
            if waiting and time.monotonic() > deadline:
                names = ", ".join(name for _, name, _ in waiting.values())
                raise Refused(f"Not done after {timeout:.0f} s: {names} (make status, make logs).")
            time.sleep(0.05)


def _shown(place: Place, name: str, result: Any) -> str:
    """Return what a person would look at to believe it: for a mail what the mail server got."""
    if name != "tasks.email.send_email":
        return str(result)
    if work.SUBJECT not in work.subjects(place.url("sandbox")):
        raise Refused("The mail is recorded as sent, and the mail server did not get it (see make logs NAME=sandbox).")
    return f"the mail server got {work.SUBJECT!r}"
