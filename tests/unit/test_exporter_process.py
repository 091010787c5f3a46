"""The exporter's process: a page for Prometheus and KEDA, settings refused with a sentence, an end at once."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from app.exporter.config import BadSetting, Settings
from scripts.ports import free_port
from tests.support.exporter import (
    answers,
    calls,
    collector,
    environment,
    exporter,
    fill,
)
from tests.support.redis import RedisServer
from tests.support.stack import until


def connected(process: subprocess.Popen[str], server: RedisServer) -> bool:
    ends = [connection.raddr for connection in psutil.Process(process.pid).net_connections()]
    return server.port in [end.port for end in ends if end]


def test_the_page_is_what_prometheus_and_keda_parse(redis: Redis, clean_redis_url: str) -> None:
    """KEDA takes the value of the first sample of a gauge whose labels are equal; it asks for no particular format."""
    fill(redis, "email", 3)
    with exporter(**environment(clean_redis_url)) as (_, address):
        answer = httpx.get(f"{address}/metrics", headers={"Accept": ""})
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        assert answer.text.endswith("\n")
        families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    counters = {name for name, family in families.items() if family.type == "counter"}
    assert counters == {"celery_broker_evicted_keys"}
    assert {family.type for name, family in families.items() if name not in counters} == {"gauge"}
    assert all(family.documentation.endswith(".") for family in families.values())
    (sample,) = (one for one in families["celery_group_slots_wanted"].samples if one.labels == {"group": "email"})
    assert sample.value == 3
    assert families["celery_exporter_up"].samples[0].value == 1


def test_a_probe_costs_redis_nothing_and_one_metric_can_be_asked_for(redis: Redis, clean_redis_url: str) -> None:
    redis.config_resetstat()
    with exporter(**environment(clean_redis_url)) as (_, address):
        assert answers(address)
        assert "hlen" not in calls(redis)
        text = httpx.get(f"{address}/metrics?name[]=celery_group_work").text
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines == ['celery_group_work{group="email"} 0.0', 'celery_group_work{group="both"} 0.0']


def test_the_page_is_there_without_a_redis() -> None:
    with exporter(**environment(f"redis://127.0.0.1:{free_port()}/0")) as (process, address):
        answer = httpx.get(address)
        assert answer.status_code == 200
        assert "celery_exporter_redis_up 0.0" in answer.text
        assert "celery_queue_length{" not in answer.text
        assert 'celery_group_slots{group="email"} 2.0' in answer.text, "what was told to it"
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
    assert "Redis can't be reached" in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_also_while_redis_hangs(server: RedisServer, number: signal.Signals) -> None:
    with exporter(**environment(server.url)) as (process, address):
        server.suspend()
        asking = threading.Thread(target=lambda: answers(address, ""))
        asking.start()
        until(lambda: connected(process, server), 20, "it asks Redis")
        process.send_signal(number)
        began = time.monotonic()
        assert process.wait(20) == 0
        assert time.monotonic() - began < 1
        asking.join(20)


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"EXPORTER_GROUPS": ""}, 'EXPORTER_GROUPS is no JSON .*: write e.g. {"email"'),
        ({"EXPORTER_GROUPS": "{email}"}, "EXPORTER_GROUPS is no JSON .*: write e.g. "),
        ({"EXPORTER_GROUPS": "{}"}, "names no group: write e.g. "),
        ({"EXPORTER_GROUPS": '["email"]'}, "names no group: write e.g. "),
        ({"EXPORTER_GROUPS": '{"a": ["email"]}'}, "group 'a': write queues, slots and waitSeconds"),
        ({"EXPORTER_GROUPS": '{"a": {"queues": ["q"], "slots": 2}}'}, "write queues, slots and waitSeconds"),
        ({"EXPORTER_GROUPS": '{"a": {"queues": "q", "slots": 2, "waitSeconds": 5}}'}, "queues as a list of names"),
        ({"EXPORTER_GROUPS": '{"a": {"queues": [], "slots": 2, "waitSeconds": 5}}'}, "queues as a list of names"),
        ({"EXPORTER_GROUPS": '{"a": {"queues": ["q"], "slots": 0, "waitSeconds": 5}}'}, "whole number from 1"),
        ({"EXPORTER_GROUPS": '{"a": {"queues": ["q"], "slots": true, "waitSeconds": 5}}'}, "whole number from 1"),
        ({"EXPORTER_GROUPS": '{"a": {"queues": ["q"], "slots": 2, "waitSeconds": 0}}'}, "number above 0"),
        ({"EXPORTER_GROUPS": '{"a": {"queues": ["q"], "slots": 2, "waitSeconds": NaN}}'}, "number above 0"),
        ({"EXPORTER_GROUPS": '{"a": {"queues": ["q", "q"], "slots": 2, "waitSeconds": 5}}'}, "the queue 'q' twice"),
        (
            {"EXPORTER_GROUPS": '{"a": {"queues": ["q"], "slots": 2, "waitSeconds": 5, "objectiveSeconds": "1m"}}'},
            "its objectiveSeconds as a number above 0",
        ),
        ({"EXPORTER_GROUPS": '{"a": {"queues": ["q"], "slots": 2, "waitSeconds": 5, "limit": 5}}'}, "and limitSeconds"),
        ({"EXPORTER_BEAT": "no"}, "EXPORTER_BEAT is 'no': write true or false"),
        ({"EXPORTER_PORT": "http"}, "EXPORTER_PORT is 'http': write a number"),
        ({"EXPORTER_PORT": "70000"}, "EXPORTER_PORT is '70000': write a number"),
        ({"CELERY_BROKER_URL": "", "CELERY_BROKER_URL_FILE": "/none"}, "_FILE can't be read .*: give a readable file"),
        ({"CELERY_BROKER_URL": "amqp://user:word@here"}, "CELERY_BROKER_URL, .*: write redis://"),
        ({"CELERY_BROKER_URL": "redis://user:word@here:port"}, "CELERY_BROKER_URL, .*: write redis://"),
        ({"CELERY_BROKER_URL": "sentinel://one"}, "CELERY_SENTINEL_MASTER is empty.*: write the name"),
        ({"CELERY_LEASE_SECONDS": "long"}, "is no number: .*'long'; write a number"),
    ],
    ids=str,
)
def test_a_wrong_variable_is_told_in_a_sentence_that_says_what_to_write(
    variables: dict[str, str], sentence: str
) -> None:
    with pytest.raises(BadSetting, match=sentence) as raised:
        Settings.from_environment(environment("redis://localhost") | variables)
    assert "word" not in str(raised.value).replace("password", "")


def test_the_url_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("redis://:word@there:6380/3\n")
    told = environment("", CELERY_BROKER_URL_FILE=str(tmp_path / "url"))
    assert Settings.from_environment(told).broker_url == "redis://:word@there:6380/3"


def test_the_process_ends_with_that_sentence_and_code_2(clean_redis_url: str) -> None:
    with exporter(**environment(clean_redis_url, EXPORTER_GROUPS="email")) as (process, _):
        _, said = process.communicate(timeout=20)
    assert process.returncode == 2
    (sentence,) = said.splitlines()
    assert sentence.startswith("EXPORTER_GROUPS is no JSON")


def test_a_port_that_is_taken_is_told_alike(redis_server: RedisServer) -> None:
    with exporter(**environment(redis_server.url, EXPORTER_PORT=str(redis_server.port))) as (process, _):
        _, said = process.communicate(timeout=20)
    assert process.returncode == 2
    (sentence,) = said.splitlines()
    assert sentence.endswith("write a port that is free.")


def test_asked_for_nothing_it_registers_without_a_redis() -> None:
    registry = CollectorRegistry()
    source: Any = collector(f"redis://127.0.0.1:{free_port()}/0")
    registry.register(source)
    assert list(registry.restricted_registry(["celery_exporter_up"]).collect()) == []
