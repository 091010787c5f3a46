"""The producer publishes what was asked, waits for it within its deadline, and refuses nonsense before it publishes."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.conftest import ROOT
from tests.support.cli import Ended, run
from tests.support.redis import RedisServer


@pytest.fixture
def broker(redis_server: RedisServer, clean_redis_url: str) -> Redis:
    return redis_server.client()


def producer(*arguments: str, **options: Any) -> Ended:
    return run("app.producer", *arguments, **options)


def in_seconds(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def test_it_publishes_n_tasks_with_their_arguments_and_a_record_each(broker: Redis, redis_server: RedisServer) -> None:
    ended = producer("tasks.weekly_report", "-n", "3", "--args", '["weekly"]', "--no-wait", "--json")
    assert ended.code == 0, ended.err
    found = [json.loads(text) for text in broker.lrange("report", 0, -1)]
    assert {message["headers"]["id"] for message in found} == set(ended.json["task_ids"])
    assert json.loads(base64.b64decode(found[0]["body"]))[0] == ["weekly"]
    assert ended.json["states"] == {"PUBLISHED": 3}
    assert ended.json["published"] == 3
    for task_id in ended.json["task_ids"]:
        record = json.loads(redis_server.client(2).get(f"accepted:task:{task_id}"))
        assert record == {"task_id": task_id, "steps": [[task_id, "tasks.weekly_report"]]}


def test_the_queue_the_countdown_and_the_eta_are_those_asked_for(broker: Redis) -> None:
    assert producer("tasks.check_status", "--queue", "report", "--countdown", "60", "--no-wait").code == 0
    eta = in_seconds(120)
    assert producer("tasks.check_status", "--eta", eta, "--no-wait").code == 0
    late = json.loads(broker.lindex("report", 0))["headers"]["eta"]
    assert 50 < (datetime.fromisoformat(late) - datetime.now(UTC)).total_seconds() < 61
    given = json.loads(broker.lindex("default", 0))["headers"]["eta"]
    assert datetime.fromisoformat(given) == datetime.fromisoformat(eta)


def test_the_list_shows_every_task_with_its_queue() -> None:
    tasks = producer("--list", "--json").json
    assert tasks["tasks.process_order"] == "high_priority"
    assert tasks["tasks.email.send_email"] == "email"
    assert "tasks.weekly_report" in producer("--list").out


REFUSED = {
    "no task": ((), "--list"),
    "unknown task": (("tasks.nope",), "tasks.nope"),
    "undeclared queue": (("tasks.check_status", "--queue", "nope"), "high_priority"),
    "args not JSON": (("tasks.check_status", "--args", "[1"), "--args"),
    "args no list": (("tasks.check_status", "--args", "{}"), "JSON list"),
    "kwargs no object": (("tasks.check_status", "--kwargs", "[]"), "JSON object"),
    "arguments that don't fit": (("tasks.process_order",), "order_id"),
    "an unknown argument": (("tasks.process_order", "--kwargs", '{"order": 1}'), "order"),
    "eta no time": (("tasks.check_status", "--eta", "tomorrow"), "tomorrow"),
    "eta without a zone": (("tasks.check_status", "--eta", "2030-01-01T00:00:00"), "zone"),
    "eta too far": (("tasks.check_status", "--eta", "2999-01-01T00:00:00Z"), "86400"),
    "countdown too far": (("tasks.check_status", "--countdown", "86401"), "86400"),
    "countdown in the past": (("tasks.check_status", "--countdown", "-1"), "86400"),
    "countdown no number": (("tasks.check_status", "--countdown", "nan"), "86400"),
    "two starts": (("tasks.check_status", "--countdown", "1", "--eta", "2030-01-01T00:00:00Z"), "one of them"),
    "none": (("tasks.check_status", "-n", "0"), "-n"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_a_sentence_with_exit_code_2_and_publishes_nothing(broker: Redis, case: str) -> None:
    arguments, word = REFUSED[case]
    ended = producer(*arguments)
    assert ended.code == 2, ended
    assert word in ended.err
    assert "Traceback" not in ended.err
    assert broker.keys("*") == []


def test_an_unreachable_redis_is_one_sentence_and_exit_code_1(broker: Redis) -> None:
    for name in ("CELERY_BROKER_URL", "STORE_URL"):
        ended = producer("tasks.check_status", env={name: "redis://127.0.0.1:1/0"})
        assert ended.code == 1
        assert ended.err.startswith("Error: Redis can't be reached")
        assert "0 of 1 tasks were published." in ended.err
        assert len(ended.err.splitlines()) == 1
        assert ended.seconds < 10


def test_publishing_costs_two_commands_a_task(broker: Redis) -> None:
    before = broker.info("commandstats")
    assert producer("tasks.check_status", "-n", "200", "--no-wait", env={"CELERY_TASK_EVENTS": "false"}).code == 0
    after = broker.info("commandstats")

    def calls(name: str) -> int:
        return int(after.get(f"cmdstat_{name}", {}).get("calls", 0) - before.get(f"cmdstat_{name}", {}).get("calls", 0))

    assert (calls("lpush"), calls("set")) == (200, 200)
    assert calls("subscribe") == calls("get") == calls("mget") == 0


def test_without_a_worker_waiting_ends_at_the_deadline_and_says_how_many_are_unfinished(broker: Redis) -> None:
    ended = producer("tasks.check_status", "-n", "5", "--timeout", "1", "--json")
    assert ended.code == 1
    assert ended.json["states"] == {"UNFINISHED": 5}
    assert 1 <= ended.seconds < 6


@pytest.fixture
def worker(broker: Redis, tmp_path: Path) -> Iterator[None]:
    env = {**os.environ, "CELERY_WORKER_GROUP": "default", "FAULT_TASKS": "true", "CELERY_HEARTBEAT_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "celery", "-A", "app.celery_app", "worker", "--concurrency", "2"]
    command += ["--without-gossip", "--without-mingle"]
    with (tmp_path / "worker.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log, start_new_session=True)
        try:
            yield
            process.terminate()
            process.wait(timeout=30)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_it_waits_for_results_and_sums_them_up(worker: None, broker: Redis) -> None:
    ended = producer("tasks.check_status", "-n", "40", "--json")
    assert ended.code == 0, ended
    assert ended.json["states"] == {"SUCCESS": 40}
    latency = ended.json["latency_seconds"]
    assert 0 <= latency["p50"] <= latency["p95"] <= latency["p99"] <= latency["max"] < 60
    table = producer("tasks.check_status").out
    assert "SUCCESS" in table
    assert "task id" in table


def test_a_task_that_fails_makes_the_exit_code_1(worker: None, broker: Redis) -> None:
    ended = producer("tasks.process_payment", "--args", '["no-such-order"]', "--json")
    assert ended.code == 1
    assert ended.json["states"] == {"FAILURE": 1}
