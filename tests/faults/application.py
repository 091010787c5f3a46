"""A Celery application that shares nothing with the example but `app.runtime`, run by the fault tests.

Each start and end of a task is a line in the journal file, which needs no Redis and survives every kill.
RUNTIME=off leaves the same delivery settings but takes away what the runtime adds to Celery.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import time

from celery import Celery
from celery.exceptions import Reject
from celery.signals import setup_logging
from kombu import Queue

from app.runtime import Options, install, logs
from app.runtime.options import settings

URL = os.environ["BENCH_URL"]
OPTIONS = Options(
    group="bench",
    queues=("work",),
    lease=float(os.environ.get("BENCH_LEASE", "6")),
    heartbeat_dir=os.environ.get("BENCH_HEARTBEAT_DIR", ""),
    heartbeat_tolerance=float(os.environ.get("BENCH_TOLERANCE", "20")),
    reconnect_limit=float(os.environ.get("BENCH_RECONNECT_LIMIT", "300")),
    socket_timeout=float(os.environ["BENCH_SOCKET_TIMEOUT"])
    if os.environ.get("BENCH_SOCKET_TIMEOUT") != "none"
    else None,
    beat_lock=5,
    beat_loop=1,
    retry_delay=1,
    unbounded_pool="BENCH_UNBOUNDED_POOL" in os.environ,
    key_prefix="bench:",
    priorities="BENCH_PRIORITIES" in os.environ,
    soft_shutdown=float(os.environ.get("BENCH_SOFT_SHUTDOWN", "0")),
    metrics_port=int(os.environ.get("BENCH_METRICS_PORT", "0")),
    metrics_host="127.0.0.1",
)

app = Celery("bench")
app.conf.update(
    broker_url=URL,
    result_backend=URL,
    task_queues=(Queue("work"),),
    task_default_queue="work",
    task_create_missing_queues=False,
    task_time_limit=60,
    worker_concurrency=2,
    beat_schedule={
        "tick": {
            "task": "tests.faults.application.tick",
            "schedule": float(os.environ.get("BENCH_TICK", "2")),
        }
    },
)
if os.environ.get("RUNTIME") == "off":
    app.conf.update(settings(OPTIONS, app))
else:
    install(app, OPTIONS)


def journal(word: str, key: str) -> None:
    """Append `word key` to the journal, whole or not at all."""
    with open(os.environ["BENCH_JOURNAL"], "a", encoding="utf-8") as file:
        file.write(f"{word} {key}\n")


@app.task
def sleep(key: str, seconds: float) -> str:
    """Run for `seconds`."""
    journal("start", key)
    time.sleep(seconds)
    journal("end", key)
    return key


@app.task(bind=True)
def tick(self: object) -> None:
    """Write down the id that beat gave to this tick."""
    journal("start", self.request.id)  # type: ignore[attr-defined]


@app.task(bind=True)
def die_once(self: object, key: str) -> str:
    """Kill the pool child at the first attempt."""
    journal("start", key)
    if self.request.retries == 0:  # type: ignore[attr-defined]
        os.kill(os.getpid(), signal.SIGKILL)
    journal("end", key)
    return key


@app.task(bind=True)
def retry_after(self: object, key: str, seconds: float) -> None:
    """Run for `seconds`, and ask for a retry at the first start."""
    journal("start", key)
    time.sleep(seconds)
    with open(os.environ["BENCH_JOURNAL"], encoding="utf-8") as file:
        if file.read().splitlines().count(f"start {key}") == 1:
            raise self.retry(countdown=1)  # type: ignore[attr-defined]
    journal("end", key)


@app.task
def die_always(key: str) -> None:
    """Kill the pool child at every attempt."""
    journal("start", key)
    os.kill(os.getpid(), signal.SIGKILL)


@app.task
def kill_worker(key: str) -> None:
    """Kill the whole worker at every start."""
    journal("start", key)
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)


@app.task
def exhaust_memory(key: str) -> None:
    """Run out of memory without losing the process."""
    journal("start", key)
    raise MemoryError("no room")


@app.task
def fail(key: str, name: str = "ValueError") -> None:
    """Raise an exception of a new class with that name."""
    journal("start", key)
    raise type(name, (Exception,), {})(key)


@app.task
def reject(key: str) -> None:
    """Reject the own message."""
    journal("start", key)
    raise Reject(key, requeue=False)


@app.task
def publish(key: str, times: int) -> None:
    """Send `times` tasks that sleep for no time."""
    journal("start", key)
    for _ in range(times):
        sleep.delay(key, 0)
    journal("end", key)


def nothing(key: str) -> None:
    """Return at once."""


app.task(nothing)
# As many tasks as an application has, and more.
for number in range(int(os.environ.get("BENCH_TASK_NAMES", "0"))):
    app.task(name=f"many.{number}")(nothing)

if "BENCH_JSON_LOGS" in os.environ:
    logs.install("info", "json", "bench")

if "BENCH_QUIET" in os.environ:
    # All but what a bench waits for.
    setup_logging.connect(lambda **_: logging.basicConfig(level="ERROR"), weak=False)
    logging.getLogger("celery.apps.worker").setLevel("INFO")

if "BENCH_BREAK_METRICS" in os.environ:
    from app.runtime.metrics import numbers

    numbers.bisect_left = json.loads  # type: ignore[assignment]
