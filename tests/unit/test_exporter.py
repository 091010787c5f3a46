"""The exporter tells what is in Redis, how many slots that wants, and nothing that it doesn't know."""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from celery import Celery
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from app.exporter.collector import MAX_AGE, BrokerCollector
from app.exporter.config import BadSetting, Settings
from app.exporter.demand import MEMORY, Demand, slots_wanted
from app.exporter.reading import Load
from app.runtime import Options, install
from app.runtime.keys import Keys
from scripts.ports import free_port
from tests.conftest import ROOT
from tests.support.redis import RedisServer
from tests.support.stack import until

GROUPS = {
    "email": {"queues": ["email"], "slots": 2, "waitSeconds": 5},
    "both": {"queues": ["mail", "push"], "slots": 4, "waitSeconds": 10},
}
PREFIX = "shop:"
USERS = (ROOT / "helm" / "celery" / "files" / "users.acl").read_text(encoding="utf-8")

Page = dict[str, float]


class Clock:
    """Seconds that go on when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def environment(url: str, **more: str) -> dict[str, str]:
    own = {"CELERY_BROKER_URL": url, "CELERY_KEY_PREFIX": PREFIX, "EXPORTER_GROUPS": json.dumps(GROUPS)}
    return own | more


def collector(url: str, clock: Clock | None = None, **more: str) -> BrokerCollector:
    return BrokerCollector(Settings.from_environment(environment(url, **more)), clock or Clock())


def page(source: BrokerCollector) -> Page:
    """Return the samples by `name{label=value}`."""
    return {
        sample.name + "".join(f"{{{key}={value}}}" for key, value in sample.labels.items()): sample.value
        for family in source.collect()
        for sample in family.samples
    }


def later(source: BrokerCollector, clock: Clock, seconds: float = 5.0) -> Page:
    """Return the samples of a reading `seconds` after the last one."""
    clock.now += seconds
    return page(source)


@pytest.fixture
def redis(clean_redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(clean_redis_url, decode_responses=True) as client:
        yield client


def hold(client: Redis, group: str, tags: list[str], eta: float | None = None) -> None:
    """Write what a worker that holds messages does: kombu's hash, and the runtime's set of those with an eta."""
    keys = Keys(PREFIX)
    client.hset(keys.unacked(group), mapping=dict.fromkeys(tags, "[]"))
    if eta is not None:
        client.zadd(keys.held(group), dict.fromkeys(tags, eta))


def serve(client: Redis, group: str, tasks: int, seconds: float) -> None:
    """Write what workers do after `tasks` that took so many seconds in all."""
    client.hincrby(Keys(PREFIX).served(group), "tasks", tasks)
    client.hincrbyfloat(Keys(PREFIX).served(group), "seconds", seconds)


def fill(client: Redis, queue: str, count: int) -> None:
    client.lpush(Keys(PREFIX).waiting(queue)[0], *["{}"] * count)


# What is in Redis.


def test_lengths_are_those_that_kombu_wrote(
    redis: Redis, clean_redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CELERY_BROKER_URL")
    app = Celery("shop", broker=clean_redis_url, set_as_current=False)
    install(app, Options(key_prefix=PREFIX))
    for queue, count in (("email", 3), ("mail", 2), ("push", 1)):
        for _ in range(count):
            app.send_task("tasks.email.send", queue=queue)
    app.close()
    found = page(collector(clean_redis_url))
    assert [found[f"celery_queue_length{{queue_name={queue}}}"] for queue in ("email", "mail", "push")] == [3, 2, 1]
    assert [found[f"celery_group_work{{group={group}}}"] for group in GROUPS] == [3, 3]


def test_a_queue_with_priorities_is_as_long_as_all_its_lists(
    redis: Redis, clean_redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CELERY_BROKER_URL")
    app = Celery("shop", broker=clean_redis_url, set_as_current=False)
    install(app, Options(key_prefix=PREFIX, priorities=True, priority_separator=":"))
    for priority in (0, 3, 4, 6, 9, 9):
        app.send_task("tasks.email.send", queue="email", priority=priority)
    app.close()
    assert len(redis.keys(f"{PREFIX}email*")) == 4
    own = {"CELERY_PRIORITIES": "true", "CELERY_PRIORITY_SEPARATOR": ":"}
    assert page(collector(clean_redis_url, **own))["celery_queue_length{queue_name=email}"] == 6
    assert page(collector(clean_redis_url))["celery_queue_length{queue_name=email}"] == 1, "not told of priorities"


def test_what_waits_for_its_eta_is_in_flight_and_no_work(redis: Redis, clean_redis_url: str) -> None:
    hold(redis, "email", ["a", "b"])
    hold(redis, "email", ["c"], eta=time.time() + 3600)
    # Its worker is dead: nobody took it off the set when it became due.
    hold(redis, "email", ["d"], eta=time.time() - 1)
    fill(redis, "email", 5)
    found = page(collector(clean_redis_url))
    assert found["celery_group_in_flight{group=email}"] == 4
    assert found["celery_group_held{group=email}"] == 1
    assert found["celery_group_work{group=email}"] == 5 + 3


def test_a_set_that_names_more_than_is_in_flight_takes_no_work_away(redis: Redis, clean_redis_url: str) -> None:
    redis.zadd(Keys(PREFIX).held("email"), dict.fromkeys("abc", time.time() + 3600))
    fill(redis, "email", 2)
    found = page(collector(clean_redis_url))
    assert found["celery_group_held{group=email}"] == 0
    assert found["celery_group_work{group=email}"] == found["celery_group_slots_wanted{group=email}"] == 2


def test_an_empty_redis_wants_nothing_and_every_number_is_there_but_the_unmeasured(clean_redis_url: str) -> None:
    found = page(collector(clean_redis_url))
    names = ("in_flight", "held", "work", "slots_wanted")
    assert [found[f"celery_group_{name}{{group=both}}"] for name in names] == [0] * len(names)
    assert found["celery_group_slots{group=both}"] == 4
    assert found["celery_exporter_redis_up"] == 1
    assert found["celery_exporter_last_read_timestamp_seconds"] == pytest.approx(time.time(), abs=5)
    assert not [name for name in found if "service_seconds" in name or "arrivals" in name]


def calls(client: Redis) -> dict[str, int]:
    """Return how often each command ran since the server's start."""
    return {name.removeprefix("cmdstat_"): told["calls"] for name, told in client.info("commandstats").items()}


def test_a_reading_is_a_few_commands_of_constant_cost(redis: Redis, clean_redis_url: str) -> None:
    fill(redis, "email", 1000)
    source, clock = collector(clean_redis_url, clock := Clock()), clock
    page(source)
    before = calls(redis)
    later(source, clock)
    after = calls(redis)
    ran = {name: count - before.get(name, 0) for name, count in after.items() if count != before.get(name, 0)}
    ran.pop("info")
    assert ran == {"llen": 3, "hlen": 2, "zcount": 2, "hmget": 2}


def test_requests_within_a_second_share_one_reading(redis: Redis, clean_redis_url: str) -> None:
    clock = Clock()
    source = collector(clean_redis_url, clock)
    threads = [threading.Thread(target=source.collect) for _ in range(8)]
    redis.config_resetstat()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    later(source, clock, MAX_AGE - 0.01)
    assert calls(redis)["hmget"] == len(GROUPS)
    later(source, clock, 0.02)
    assert calls(redis)["hmget"] == 2 * len(GROUPS)


def test_the_scaler_of_the_chart_may_do_all_that(tmp_path: Path) -> None:
    text = USERS.replace("${PREFIX}", PREFIX)
    for name in ("app", "scaler", "probe"):
        text = text.replace(f"${{{name.upper()}_SHA256}}", hashlib.sha256(name.encode()).hexdigest())
    (tmp_path / "users.acl").write_text(f"{text}\nuser admin on >admin ~* &* +@all\n")
    server = RedisServer(tmp_path, arguments=("--aclfile", str(tmp_path / "users.acl")), login=("admin", "admin"))
    server.start()
    try:
        url = f"redis://scaler:scaler@127.0.0.1:{server.port}/0"
        assert page(collector(url))["celery_exporter_redis_up"] == 1
        with server.client() as admin:
            # Before Redis 7 the driver may not give its name, and goes on without.
            assert {entry["object"] for entry in admin.acl_log()} <= {"client"}
        assert page(collector(url, CELERY_KEY_PREFIX="other:"))["celery_exporter_redis_up"] == 0
    finally:
        server.stop()


# A Redis that can't be read.


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


def of_redis(found: Page) -> list[str]:
    return [name for name in found if name.startswith(("celery_group", "celery_queue"))]


def test_no_number_is_served_while_redis_is_away_and_a_true_one_when_it_is_back(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    source = collector(server.url, clock)
    with server.client() as client:
        fill(client, "email", 7)
        serve(client, "email", 10, 20)
    assert page(source)["celery_group_work{group=email}"] == 7
    server.kill()
    for _ in range(2):
        gone = later(source, clock)
        assert of_redis(gone) == []
        assert gone["celery_exporter_redis_up"] == 0
        assert gone["celery_exporter_last_read_timestamp_seconds"] > 0
    assert len(caplog.messages) == 1, "one trouble is told once"
    assert "Redis can't be reached" in caplog.text
    server.start()
    back = later(source, clock)
    assert back["celery_exporter_redis_up"] == 1
    assert back["celery_group_work{group=email}"] == 0, "it came back empty"
    assert back["celery_group_service_seconds{group=email}"] == 2, "what was learned stays"


def test_a_redis_that_hangs_is_given_up_in_time(server: RedisServer) -> None:
    clock = Clock()
    source = collector(server.url, clock)
    page(source)
    server.suspend()
    began = time.monotonic()
    assert of_redis(later(source, clock)) == []
    assert time.monotonic() - began < 2.9, "KEDA waits 3 s"
    server.resume()
    assert later(source, clock)["celery_exporter_redis_up"] == 1


# How many slots that wants.


def load(waiting: int = 0, running: int = 0, held: int = 0, tasks: int = 0, seconds: float = 0.0) -> Load:
    return Load(waiting, running + held, held, tasks, seconds)


@pytest.mark.parametrize(
    ("now", "arrivals", "service", "wait", "wanted"),
    [
        # What is busy stands for what comes.
        (load(waiting=100, running=8), None, 0.2, 5.0, 12.0),
        (load(waiting=100, running=8), None, None, 5.0, 108.0),
        # 10 a second of 0.2 s keep 2 slots busy; 100 that wait are 20 s of work, to be done in 5 s by 4 more.
        (load(waiting=100, running=2), 10.0, 0.2, 5.0, 6.0),
        # Nothing waits: as many as what comes keeps busy.
        (load(running=8), 10.0, 0.5, 5.0, 5.0),
        # Never more than there is work.
        (load(waiting=1, running=2), 10.0, 2.0, 5.0, 3.0),
        # Tasks that take longer than they may wait: each wants its own slot.
        (load(waiting=7, running=1), 0.0, 60.0, 5.0, 8.0),
        (load(waiting=7, running=3), 1.0, 5.0, 5.0, 10.0),
        # A little work is worth a slot.
        (load(waiting=1), 0.0, 0.01, 5.0, 1.0),
        (load(running=1), 0.0, 0.01, 5.0, 1.0),
        (load(), 10.0, 1.0, 5.0, 0.0),
        # Unmeasured: counting.
        (load(waiting=100, running=2), 10.0, None, 5.0, 102.0),
        (load(), 0.0, None, 5.0, 0.0),
        # What is held for its eta wants somebody to hold it.
        (load(held=50), 0.0, None, 5.0, 1.0),
        (load(held=50), 3.0, 0.2, 5.0, 1.0),
        (load(waiting=10, running=1, held=50), 0.0, 2.0, 5.0, 4.0),
    ],
    ids=str,
)
def test_the_slots_are_those_of_littles_law(
    now: Load, arrivals: float | None, service: float | None, wait: float, wanted: float
) -> None:
    assert slots_wanted(now, arrivals, service, wait) == pytest.approx(wanted)


def test_a_group_is_measured_by_what_its_workers_have_served(redis: Redis, clean_redis_url: str) -> None:
    clock = Clock()
    source = collector(clean_redis_url, clock)
    fill(redis, "email", 100)
    found = page(source)
    assert found["celery_group_slots_wanted{group=email}"] == 100, "unmeasured: counting"
    # In 5 s 20 tasks ended that took 8 s in all, and 10 came.
    redis.ltrim(Keys(PREFIX).waiting("email")[0], 0, 89)
    serve(redis, "email", 20, 8)
    found = later(source, clock)
    assert found["celery_group_service_seconds{group=email}"] == pytest.approx(0.4)
    assert found["celery_group_arrivals_per_second{group=email}"] == pytest.approx(2)
    assert found["celery_group_slots_wanted{group=email}"] == pytest.approx(2 * 0.4 + 90 * 0.4 / 5)
    assert found["celery_group_slots_wanted{group=both}"] == 0, "another group"


def test_an_exporter_that_starts_late_takes_the_mean_since_ever_until_it_knows_better() -> None:
    demand = Demand()
    demand.observe(load(tasks=1000, seconds=3000), 0)
    assert (demand.service, demand.arrivals) == (3.0, None)
    demand.observe(load(tasks=1099, seconds=3099), 5)
    fading = math.exp(-5 / MEMORY)
    assert demand.service == pytest.approx((3 * fading + 99) / (fading + 99))
    assert demand.arrivals == pytest.approx(99 / 5)


def test_measurements_fade_within_minutes() -> None:
    demand, tasks, seconds = Demand(), 0, 0.0
    for now in range(0, 300, 5):
        tasks, seconds = tasks + 50, seconds + 5
        demand.observe(load(tasks=tasks, seconds=seconds), now)
    assert (demand.arrivals, demand.service) == (pytest.approx(10), pytest.approx(0.1))
    for now in range(300, 360, 5):
        tasks, seconds = tasks + 50, seconds + 50
        demand.observe(load(tasks=tasks, seconds=seconds), now)
    # After one memory the old weighs 1/e.
    assert demand.service == pytest.approx(1 - 0.9 / math.e, rel=0.02)
    for now in range(360, 660, 5):
        demand.observe(load(tasks=tasks, seconds=seconds), now)
    assert demand.arrivals == pytest.approx(10 * math.exp(-5), rel=0.1)
    assert demand.service == pytest.approx(1 - 0.9 / math.e, rel=0.02), "nothing new was measured"


@pytest.mark.parametrize(
    "lost",
    [load(waiting=3), load(waiting=3, tasks=10, seconds=1), load(waiting=3, tasks=200, seconds=1)],
    ids=["emptied", "counted anew", "seconds anew"],
)
def test_counters_that_went_back_say_nothing_about_that_time(lost: Load) -> None:
    demand = Demand()
    demand.observe(load(waiting=50, tasks=100, seconds=50), 0)
    demand.observe(load(waiting=50, tasks=110, seconds=55), 5)
    known = demand.arrivals, demand.service
    assert known == (2.0, pytest.approx(0.5))
    demand.observe(lost, 10)
    assert (demand.arrivals, demand.service) == known
    demand.observe(load(waiting=3, tasks=lost.tasks + 10, seconds=lost.seconds + 5), 15)
    assert (demand.arrivals, demand.service) == (pytest.approx(2), pytest.approx(0.5))


def test_two_readings_of_one_moment_divide_nothing_by_zero() -> None:
    demand = Demand()
    for now in (5, 5, 4):
        demand.observe(load(waiting=50, tasks=100), now)
    assert demand.arrivals is None


def test_a_purge_is_no_arrival_and_blinds_nobody_for_long() -> None:
    demand = Demand()
    demand.observe(load(waiting=10000), 0)
    demand.observe(load(), 5)
    assert demand.arrivals == 0
    demand.observe(load(waiting=100), 15)
    assert demand.arrivals > 0


def test_completions_that_are_told_late_are_no_arrivals() -> None:
    """A worker tells every five seconds what it has done; nothing comes while ten a second are done."""
    demand = Demand()
    for second in range(60):
        told = 10 * (second // 5 * 5)
        demand.observe(load(waiting=1000 - 10 * second, tasks=told, seconds=told), second)
    assert demand.arrivals == 0


# The process.


@contextmanager
def exporter(**variables: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the exporter on a free port; yield the process and the page's address."""
    port = str(free_port())
    process = subprocess.Popen(
        [sys.executable, "-m", "app.exporter"],
        cwd=ROOT,
        env=os.environ | {"EXPORTER_PORT": port} | variables,
        stderr=subprocess.PIPE,
        text=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        until(lambda: process.poll() is not None or answers(address), 20, "the exporter answers")
        yield process, address
    finally:
        process.kill()
        process.communicate(timeout=20)


def connected(process: subprocess.Popen[str], server: RedisServer) -> bool:
    ends = [connection.raddr for connection in psutil.Process(process.pid).net_connections()]
    return server.port in [end.port for end in ends if end]


def answers(address: str, path: str = "/metrics?name[]=celery_exporter_up") -> bool:
    try:
        return httpx.get(f"{address}{path}").status_code == 200
    except httpx.TransportError:
        return False


def test_the_page_is_what_prometheus_and_keda_parse(redis: Redis, clean_redis_url: str) -> None:
    """KEDA takes the value of the first sample of a gauge whose labels are equal; it asks for no particular format."""
    fill(redis, "email", 3)
    with exporter(**environment(clean_redis_url)) as (_, address):
        answer = httpx.get(f"{address}/metrics", headers={"Accept": ""})
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        assert answer.text.endswith("\n")
        families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    assert {family.type for family in families.values()} == {"gauge"}
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
        assert "group=" not in answer.text
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
        ({"EXPORTER_PORT": "http"}, "EXPORTER_PORT is 'http': write a number"),
        ({"EXPORTER_PORT": "70000"}, "EXPORTER_PORT is '70000': write a number"),
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
