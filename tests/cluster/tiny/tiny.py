"""A Celery application as any team may have one: its own tasks on Celery's own queue, and nothing of this project."""

from __future__ import annotations

import os
import time

from celery import Celery

# Imports of real applications take their time.
time.sleep(float(os.environ.get("IMPORT_SECONDS", "0")))

app = Celery(
    "tiny", broker=os.environ["CELERY_BROKER_URL"], backend=os.environ.get("CELERY_RESULT_BACKEND", "redis://")
)


@app.task
def add(x: int, y: int) -> int:
    return x + y


@app.task
def wait(seconds: float) -> float:
    time.sleep(seconds)
    return seconds
