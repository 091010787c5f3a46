"""Promise: a log line is one JSON object that names its task and order, and never its arguments or results."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import logging
from celery import Celery
from app.runtime import logs
logs.configure("info", "{style}", group="orders")
app = Celery("logs", set_as_current=False)

@app.task(bind=True, name="shop.work")
def work(self, secret):
    logging.getLogger("shop").info("working", extra={{"step": 1}})
    return secret

work.s("hunter2").stamp(order_id="o-1").apply(task_id="t-1", retries=2, routing_key="high_priority")
"""


def lines(style: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(style=style)], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stderr.splitlines()


def test_a_line_within_a_task_names_task_group_attempt_and_order() -> None:
    [record] = [json.loads(line) for line in lines("json") if "working" in line]
    expected = {
        "message": "working",
        "task_id": "t-1",
        "task": "shop.work",
        "queue": "high_priority",
        "group": "orders",
        "attempt": 3,
        "order_id": "o-1",
        "step": 1,
    }
    assert {name: record.get(name) for name in expected} == expected


def test_no_line_holds_an_argument_or_a_result() -> None:
    program = PROGRAM.format(style="json").replace("logs.configure(", "logs.install('info', 'json'); logs.configure(")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert "succeeded" in done.stderr
    assert "hunter2" not in done.stderr


def test_text_is_for_reading() -> None:
    [line] = [line for line in lines("text") if "working" in line]
    assert line.endswith("shop: working")
