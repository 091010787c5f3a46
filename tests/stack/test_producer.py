"""On a running stack: the producer waits for hundreds of results on few connections, and ends at its deadline."""

from __future__ import annotations

import json
import subprocess
import sys

import psutil
from redis import Redis

from tests.conftest import ROOT
from tests.support.stack import Stack


def test_five_hundred_tasks_are_published_done_and_summed_up(stack: Stack) -> None:
    done = stack.send("tasks.faults.sleep", 0, options=("-n", "500"))
    assert (done["published"], done["states"]) == (500, {"SUCCESS": 500})
    assert 0 < done["latency_seconds"]["p50"] <= done["latency_seconds"]["max"]


def test_waiting_for_many_takes_few_connections_and_no_subscription(stack: Stack) -> None:
    command = [
        sys.executable,
        "-m",
        "app.producer",
        "tasks.faults.sleep",
        "--args",
        "[60]",
        "-n",
        "40",
        "--timeout",
        "4",
    ]
    with (
        Redis.from_url(stack.redis_url) as redis,
        subprocess.Popen(command, cwd=ROOT, env=stack.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process,
    ):
        own = psutil.Process(process.pid)
        before = len(redis.client_list(_type="pubsub"))
        sockets, subscribers = 0, 0
        while process.poll() is None:
            try:
                sockets = max(sockets, len(own.net_connections("tcp")))
                subscribers = max(subscribers, len(redis.client_list(_type="pubsub")))
            except psutil.Error:
                break
        assert process.wait(timeout=30) == 1
        assert 1 <= sockets <= 5
        assert subscribers <= before
    # The sleepers would hold the worker for minutes.
    stack.client("app.queue_cli", "purge", "default", "--yes")
    held = json.loads(stack.client("app.queue_cli", "inspect", "--json").stdout)
    assert next(row["waiting"] for row in held if row["queue"] == "default") == 0


def test_a_task_that_fails_ends_the_producer_with_1(stack: Stack) -> None:
    ran = stack.client("app.producer", "tasks.faults.fail", "--queue", "report", "--json")
    assert (ran.returncode, json.loads(ran.stdout)["states"]) == (1, {"FAILURE": 1})


def test_a_countdown_is_waited_for(stack: Stack) -> None:
    done = stack.send("tasks.faults.sleep", 0, options=("--queue", "report", "--countdown", "2"))
    assert done["latency_seconds"]["max"] >= 2
