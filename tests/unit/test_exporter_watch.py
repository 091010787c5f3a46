"""The exporter tells how long work waits and runs, who is there for it, and how beat and Redis are."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from celery.schedules import schedule
from redbeat import RedBeatSchedulerEntry
from redbeat.schedulers import RedBeatConfig
from redis import Redis

from app.exporter import beat, server
from app.runtime import Options, install
from app.runtime.keys import Keys
from tests.support.exporter import PREFIX, Clock, collector, later, page
from tests.support.redis import RedisServer

KEYS = Keys(PREFIX)


@pytest.fixture
def app(clean_redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Celery:
    """An application with the runtime, in the exporter's place of Redis."""
    monkeypatch.delenv("CELERY_BROKER_URL")
    app = Celery("shop", broker=clean_redis_url, set_as_current=False)
    install(app, Options(key_prefix=PREFIX))
    return app


def message(age: float, body: str = "W10=", **headers: Any) -> str:
    """Return what kombu writes: the body before the headers."""
    headers = {"task": "any", "argsrepr": "()", "enqueued_at": time.time() - age, **headers}
    return json.dumps({"body": body, "content-type": "application/json", "headers": headers, "properties": {}})


def oldest(url: str, queue: str = "email", **variables: str) -> float | None:
    return page(collector(url, **variables)).get(f"celery_queue_oldest_age_seconds{{queue_name={queue}}}")


# What waits.


def test_the_oldest_message_is_the_one_that_a_worker_takes_next(
    redis: Redis, app: Celery, clean_redis_url: str
) -> None:
    assert oldest(clean_redis_url) == 0
    app.send_task("any", queue="email")
    first = json.loads(redis.lindex(KEYS.waiting("email")[0], -1))["headers"]["enqueued_at"]
    app.send_task("any", queue="email")
    assert oldest(clean_redis_url) == pytest.approx(time.time() - first, abs=1)
    # Older, and in the place from which nothing is taken next.
    redis.lpush(KEYS.waiting("email")[0], message(1000))
    assert oldest(clean_redis_url) < 100
    redis.rpush(KEYS.waiting("email")[0], message(500))
    assert oldest(clean_redis_url) == pytest.approx(500, abs=5)
    assert oldest(clean_redis_url, "mail") == 0


def test_of_priorities_the_oldest_counts_wherever_it_waits(redis: Redis, clean_redis_url: str) -> None:
    lists = Keys(PREFIX, (0, 3, 6, 9)).waiting("email")
    redis.lpush(lists[0], message(10))
    redis.lpush(lists[3], message(700))
    redis.lpush(lists[2], "no message")
    assert oldest(clean_redis_url, CELERY_PRIORITIES="true") == pytest.approx(700, abs=5)
    assert oldest(clean_redis_url) == pytest.approx(10, abs=5)


def test_a_message_of_megabytes_stays_in_redis(redis: Redis, clean_redis_url: str) -> None:
    redis.lpush(KEYS.waiting("email")[0], message(300, body="x" * 5_000_000))
    sent = redis.info("stats")["total_net_output_bytes"]
    assert oldest(clean_redis_url) == pytest.approx(300, abs=5)
    assert redis.info("stats")["total_net_output_bytes"] - sent < 50_000


def test_a_task_can_not_say_for_itself_how_old_it_is(redis: Redis, clean_redis_url: str) -> None:
    lie = '"enqueued_at": 5, '
    redis.lpush(KEYS.waiting("email")[0], message(60, argsrepr=f"({lie!r},)", body=lie))
    assert oldest(clean_redis_url) == pytest.approx(60, abs=5)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no message",
        "{}",
        '{"headers": {}}',
        '{"headers": {"enqueued_at": null}}',
        '{"headers": {"enqueued_at": "yesterday"}}',
        '{"headers": {"enqueued_at": ...}}',
        '{"headers": {"enqueued_at": 1.2.3}}',
        '"enqueued_at": ' + "9" * 1000,
        '"enqueued_at": ' * 3000,
        b"\xff\x00\xfe" * 10_000,
    ],
    ids=lambda text: repr(text[:30]),
)
def test_a_strangers_message_is_a_message_of_no_age(redis: Redis, clean_redis_url: str, text: str | bytes) -> None:
    redis.lpush(KEYS.waiting("email")[0], text)
    found = page(collector(clean_redis_url))
    assert found["celery_queue_length{queue_name=email}"] == 1
    assert "celery_queue_oldest_age_seconds{queue_name=email}" not in found


def test_a_message_from_a_clock_that_is_ahead_has_no_age_below_zero(redis: Redis, clean_redis_url: str) -> None:
    redis.lpush(KEYS.waiting("email")[0], message(-3600))
    assert oldest(clean_redis_url) == 0


def test_a_paused_queue_is_told(redis: Redis, clean_redis_url: str) -> None:
    redis.sadd(KEYS.paused(), "mail", "a queue of nobody")
    found = page(collector(clean_redis_url))
    flags = {name: found[f"celery_queue_paused{{queue_name={name}}}"] for name in ("email", "mail", "push")}
    assert flags == {"email": 0, "mail": 1, "push": 0}
    assert not [name for name in found if "nobody" in name]


# Who works.


def test_the_workers_are_those_that_renewed_within_a_lease(redis: Redis, clean_redis_url: str) -> None:
    now = time.time()
    redis.zadd(KEYS.workers("both"), {"a": now, "b": now - 55, "dead": now - 65})
    found = page(collector(clean_redis_url))
    counts = {name: found[f"celery_active_consumer_count{{queue_name={name}}}"] for name in ("email", "mail", "push")}
    assert counts == {"email": 0, "mail": 2, "push": 2}
    short = page(collector(clean_redis_url, CELERY_LEASE_SECONDS="30"))
    assert short["celery_active_consumer_count{queue_name=mail}"] == 1


def test_the_oldest_that_runs_is_the_longest_of_all_workers(redis: Redis, clean_redis_url: str) -> None:
    assert page(collector(clean_redis_url))["celery_group_oldest_running_seconds{group=both}"] == 0
    redis.zadd(KEYS.running("both"), {"a": time.time() - 10, "b": time.time() - 400})
    found = page(collector(clean_redis_url))
    assert found["celery_group_oldest_running_seconds{group=both}"] == pytest.approx(400, abs=5)
    assert found["celery_group_oldest_running_seconds{group=email}"] == 0


def test_a_lease_has_lapsed_when_nobody_renewed_it_for_one(redis: Redis, clean_redis_url: str) -> None:
    now = time.time()
    redis.zadd(KEYS.unacked_index("email"), {"held": now - 5, "one": now - 70, "two": now - 9999})
    found = page(collector(clean_redis_url))
    assert found["celery_group_lapsed_leases{group=email}"] == 2
    assert found["celery_group_lapsed_leases{group=both}"] == 0


def test_dead_letters_are_counted(redis: Redis, clean_redis_url: str) -> None:
    redis.hset(KEYS.dead_letters("email"), mapping={"a": "{}", "b": "{}"})
    assert page(collector(clean_redis_url))["celery_group_dead_letters{group=email}"] == 2


# Beat.


def entry(app: Celery, name: str, ran: float, **more: Any) -> None:
    """Save a schedule of every minute that ran `ran` seconds ago."""
    saved = RedBeatSchedulerEntry(name, "any", schedule(60), app=app, **more)
    saved.last_run_at = datetime.now(UTC) - timedelta(seconds=ran)
    saved.save()
    with app.redbeat_redis as client:
        client.zadd(KEYS.schedule(), {saved.key: time.time() - ran + 60})


def overdue(url: str) -> dict[str, float]:
    found, start = page(collector(url)), "celery_beat_schedule_overdue_seconds{schedule="
    return {name.removeprefix(start)[:-1]: value for name, value in found.items() if name.startswith(start)}


def test_a_schedule_is_late_from_the_moment_at_which_it_should_have_been_sent(
    app: Celery, clean_redis_url: str
) -> None:
    entry(app, "nightly report", 10)
    entry(app, "late", 100)
    assert overdue(clean_redis_url) == {"nightly report": 0, "late": pytest.approx(40, abs=5)}


def test_a_disabled_schedule_is_never_late(app: Celery, clean_redis_url: str) -> None:
    entry(app, "off", 5000, enabled=False)
    entry(app, "on", 5000, kwargs={"enabled": False})
    assert set(overdue(clean_redis_url)) == {"on"}


def test_schedules_without_end_are_told_up_to_a_bound_the_latest_first(redis: Redis, clean_redis_url: str) -> None:
    now = time.time()
    redis.zadd(KEYS.schedule(), {f"{KEYS.redbeat()}{number}": now - number for number in range(1000)})
    redis.zadd(KEYS.schedule(), {KEYS.redbeat() + "never again": -1})
    found = overdue(clean_redis_url)
    assert set(found) == {str(number) for number in range(1000 - beat.LIMIT, 1000)}
    assert found["999"] == pytest.approx(999, abs=5)


def test_a_schedules_name_may_be_anything_and_is_short_on_the_page(redis: Redis, clean_redis_url: str) -> None:
    name = KEYS.redbeat().encode() + b'a"b\\\n\xff' + b"x" * 10_000
    redis.zadd(KEYS.schedule(), {name: time.time()})
    (told,) = overdue(clean_redis_url)
    assert told.startswith('a"b\\\n�x')
    assert len(told) == beat.LONGEST


def test_beats_last_tick_is_when_it_extended_its_lock(redis: Redis, clean_redis_url: str) -> None:
    clock = Clock()
    source = collector(clean_redis_url, clock)
    assert page(source)["celery_beat_lock_held"] == 0
    assert "celery_beat_last_tick_timestamp_seconds" not in page(source)
    redis.set(KEYS.beat_lock(), "token", px=28_000)
    found = later(source, clock)
    assert found["celery_beat_lock_held"] == 1
    assert found["celery_beat_last_tick_timestamp_seconds"] == pytest.approx(time.time() - 2, abs=2)
    redis.delete(KEYS.beat_lock())
    gone = later(source, clock)
    assert gone["celery_beat_lock_held"] == 0
    assert gone["celery_beat_last_tick_timestamp_seconds"] == found["celery_beat_last_tick_timestamp_seconds"]


def test_where_there_is_no_beat_nothing_is_told_of_one(clean_redis_url: str) -> None:
    assert not [name for name in page(collector(clean_redis_url, EXPORTER_BEAT="false")) if "beat" in name]


def test_the_keys_are_redbeats(app: Celery) -> None:
    redbeat = RedBeatConfig(app)
    assert (redbeat.schedule_key, redbeat.lock_key) == (KEYS.schedule(), KEYS.beat_lock())


# Redis itself.


def test_the_servers_memory_disk_and_clients_are_told(redis: Redis, clean_redis_url: str) -> None:
    found = page(collector(clean_redis_url))
    assert found["celery_broker_memory_used_bytes"] > 500_000
    assert "celery_broker_memory_max_bytes" not in found, "nothing bounds it"
    assert found["celery_broker_noeviction"] == 1
    assert found["celery_broker_aof_enabled"] == 0
    assert found["celery_broker_last_write_ok"] == 1
    assert found["celery_broker_evicted_keys_total"] == 0
    assert 2 <= found["celery_broker_connected_clients"] < found["celery_broker_max_clients"] == 10_000
    assert found["celery_broker_uptime_seconds"] >= 0


def test_a_server_that_evicts_is_told(tmp_path: Any) -> None:
    limits = ("--maxmemory", "2mb", "--maxmemory-policy", "allkeys-lru")
    full = RedisServer(tmp_path, durable=True, arguments=limits)
    full.start()
    try:
        with full.client() as client:
            for number in range(60):
                client.set(f"key-{number}", "x" * 50_000)
        found = page(collector(full.url))
    finally:
        full.stop()
    assert found["celery_broker_memory_max_bytes"] == 2 * 1024 * 1024
    assert found["celery_broker_noeviction"] == 0
    assert found["celery_broker_evicted_keys_total"] > 0
    assert found["celery_broker_aof_enabled"] == 1


@pytest.mark.parametrize(
    "info",
    [{}, {"used_memory": "much", "maxmemory": None, "aof_enabled": "?", "aof_last_write_status": None}],
    ids=["nothing", "no numbers"],
)
def test_what_a_server_does_not_tell_is_not_told(info: dict[str, Any]) -> None:
    told = server.parse(info)
    assert {getattr(told, name) for name in told.__slots__} <= {None, False}
    assert server.parse({"aof_last_write_status": "ok", "rdb_last_bgsave_status": "err"}).wrote is False
