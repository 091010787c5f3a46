"""Real work through every queue of a fresh stack: what `make up` shows before it says that the stack is up.

A mail and an order go through the HTTP API, the other tasks are published as a producer does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from scripts.refused import Refused
from scripts.stack.place import Place

SUBJECT = "Your stack is up"
# Task name, its queue by the routes, and arguments, for what the API does not send.
PUBLISHED: tuple[tuple[str, str, list[str]], ...] = (
    ("tasks.check_status", "default", []),
    ("tasks.report.generate", "report", ["weekly"]),
    ("tasks.high_priority.check_stock", "high", ["book"]),
)


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

    headers = {"Authorization": f"Bearer {place.api_token}"}
    with httpx.Client(base_url=place.url("api"), headers=headers, timeout=10, trust_env=False) as api:
        mail = {"to": "you@example.com", "subject": SUBJECT, "body": "It came over SMTP, from a worker."}
        order = {"customer": "you", "email": "you@example.com", "items": [{"sku": "book", "quantity": 1}]}
        waiting = {_post(api, "/send-email", mail): ("email", "tasks.email.send_email", time.monotonic())}
        waiting[_post(api, "/orders", order)] = ("high_priority", "the order: process, pay, receipt", time.monotonic())
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


def _post(api: httpx.Client, path: str, body: dict[str, Any]) -> str:
    answer = api.post(path, json=body)
    if answer.status_code != 202:
        raise Refused(
            f"POST {path} was answered with {answer.status_code}: {answer.text[:200]} (see make logs NAME=api)."
        )
    return str(answer.json()["task_id"])


def _shown(place: Place, name: str, result: Any) -> str:
    """Return what a person would look at to believe it: for a mail what the mail server got."""
    if name != "tasks.email.send_email":
        return str(result)
    mails = httpx.get(f"{place.url('sandbox')}/mails", timeout=5, trust_env=False).json()
    received = [mail["subject"] for mail in mails if mail["subject"] == SUBJECT]
    if not received:
        raise Refused("The mail is recorded as sent, and the mail server did not get it (see make logs NAME=sandbox).")
    return f"the mail server got {received[-1]!r}"
