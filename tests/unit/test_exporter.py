"""The exporter tells what is in Redis, and nothing that it doesn't know."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from celery import Celery
from redis import Redis

from app import queues
from app.exporter.collector import MAX_AGE
from app.runtime import Options, install
from app.runtime.keys import Keys
from tests.conftest import ROOT
from tests.support.exporter import (
    GROUPS,
    PREFIX,
    Clock,
    calls,
    collector,
    fill,
    hold,
    later,
    page,
)
from tests.support.redis import RedisServer

USERS = (ROOT / "helm" / "celery" / "files" / "users.acl").read_text(encoding="utf-8")


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


def sent_and_run(redis: Redis, scrape: Callable[[], object]) -> tuple[list[str], int]:
    """Return the commands that came to Redis during `scrape`, and how many scripts ran in it."""
    sent, ran = [], 0
    with redis.monitor() as monitor:
        scrape()
        redis.ping()
        for told in monitor.listen():
            word = told["command"].split()[0].lower()
            if told["client_type"] == "lua":
                ran += 1
            elif word in ("hello", "ping"):
                return sent, ran
            else:
                sent.append(word)
    raise AssertionError("never here")


def test_a_reading_is_two_commands_for_redis_and_a_constant_number_for_its_script(
    redis: Redis, clean_redis_url: str
) -> None:
    example = {name: {"queues": group.queues, "slots": 2, "waitSeconds": 5} for name, group in queues.GROUPS.items()}
    clock = Clock()
    source = collector(clean_redis_url, clock, EXPORTER_GROUPS=json.dumps(example))
    page(source)
    assert sum(len(group.queues) for group in queues.GROUPS.values()) == len(example) == 5
    fill(redis, "email", 1000)
    sent, ran = sent_and_run(redis, lambda: later(source, clock))
    assert sent == ["eval", "info"]
    # Each queue: its length and its oldest. Each group: seven. Pauses, beat's lock, its schedules.
    assert ran == 5 * 2 + 5 * 7 + 3


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
    assert calls(redis)["eval"] == 1
    later(source, clock, 0.02)
    assert calls(redis)["eval"] == 2


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
