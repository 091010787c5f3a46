"""Some of all that happens to tasks, for dashboards to look at (`python -m tests.dashboards.load SECONDS SANDBOX`)."""

from __future__ import annotations

import sys
import time
from typing import Any

import httpx

from app.celery_app import app

# Seconds from one round to the next, and what is sent in it: task, arguments, how many.
PACE = 1.0
ROUND: tuple[tuple[str, tuple[Any, ...], int], ...] = (
    ("tasks.check_status", (), 3),
    ("tasks.faults.sleep", (0.4,), 4),
    ("tasks.faults.fail", (), 1),
    # The article is there.
    ("tasks.high_priority.check_stock", ("book",), 4),
    # One of them the mail server refuses for now: it is tried again in a minute. The other is no address.
    ("tasks.email.send_email", ("jo@example.com", "hello", "you"), 2),
    ("tasks.email.send_email", ("nobody", "hello", "you"), 1),
)
SELDOM = 20


def main(seconds: float, sandbox: str) -> None:
    """Send rounds for `seconds`; at first a task that kills its process, in the middle a burst."""
    app.loader.import_default_modules()
    began, rounds = time.monotonic(), 0
    app.send_task("tasks.faults.exit")
    while time.monotonic() < began + seconds:
        httpx.post(f"{sandbox}/faults", json={"target": "mails", "answer": 451}).raise_for_status()
        for name, arguments, count in ROUND:
            for _ in range(count):
                app.tasks[name].apply_async(arguments)
        if rounds % SELDOM == 0:
            app.tasks["tasks.report.generate"].apply_async(("daily",))
        if rounds == seconds // PACE // 3:
            for _ in range(100):
                app.tasks["tasks.faults.sleep"].apply_async((0.4,))
        rounds += 1
        time.sleep(max(0.0, began + rounds * PACE - time.monotonic()))


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2])
