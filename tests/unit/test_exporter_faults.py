"""A Redis that can't be read: the page is there in time, and has no number that an autoscaler must not believe."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from redis import Redis

from app.exporter.collector import LIMIT
from app.runtime.keys import Keys
from tests.support.exporter import PREFIX, Clock, collector, fill, later, page, serve, that_scale
from tests.support.redis import RedisServer
from tests.support.stack import until
from tests.support.wire import Liar, Listener, Slow

# KEDA waits 3 s for the page.
PATIENCE = 2.9


@pytest.fixture
def closing() -> Iterator[Callable[[Listener], Listener]]:
    """A function that has a listener closed at the end."""
    opened: list[Listener] = []

    def keep(listener: Listener) -> Listener:
        opened.append(listener)
        return listener

    yield keep
    for listener in opened:
        listener.close()


def test_while_redis_is_away_the_last_numbers_stay_but_none_that_scales(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    source = collector(server.url, clock)
    with server.client() as client:
        fill(client, "email", 7)
        serve(client, "email", 10, 20)
    before = page(source)
    assert before["celery_group_work{group=email}"] == 7
    server.kill()
    for _ in range(2):
        gone = later(source, clock)
        assert that_scale(gone) == []
        assert gone["celery_exporter_redis_up"] == 0
        own = {name for name in before if name.startswith("celery_exporter")}
        kept = {name: value for name, value in before.items() if name not in {*own, *that_scale(before)}}
        assert {name: value for name, value in gone.items() if name not in own} == kept
        assert gone["celery_exporter_last_read_timestamp_seconds"] == pytest.approx(time.time(), abs=20)
    assert gone["celery_queue_length{queue_name=email}"] == 7
    assert len(caplog.messages) == 1, "one trouble is told once"
    assert "Redis can't be reached" in caplog.text
    server.start()
    back = later(source, clock)
    assert back["celery_exporter_redis_up"] == 1
    assert back["celery_group_work{group=email}"] == 0, "it came back empty"
    assert back["celery_group_service_seconds{group=email}"] == 2, "what was learned stays"


def test_before_the_first_look_succeeds_the_page_has_what_was_told_to_it_and_no_more() -> None:
    found = page(collector("redis://127.0.0.1:1/0"))
    groups = ("celery_queue_group", "celery_queue_wait_objective", "celery_group_slots", "celery_group_time_limit")
    assert {name for name in found if not name.startswith((*groups, "celery_exporter"))} == set()
    assert found["celery_queue_wait_objective_seconds{queue_name=email}"] == 60
    assert found["celery_group_time_limit_seconds{group=email}"] == 600
    assert "celery_group_time_limit_seconds{group=both}" not in found, "nobody told one"
    assert "celery_exporter_last_read_timestamp_seconds" not in found


def test_a_redis_that_hangs_is_given_up_in_time(server: RedisServer) -> None:
    clock = Clock()
    source = collector(server.url, clock)
    page(source)
    server.suspend()
    began = time.monotonic()
    assert that_scale(later(source, clock)) == []
    assert time.monotonic() - began < PATIENCE
    server.resume()
    assert later(source, clock)["celery_exporter_redis_up"] == 1


def test_a_redis_far_away_is_read_as_a_near_one(server: RedisServer, closing: Callable[[Slow], Slow]) -> None:
    wire = closing(Slow(server.port, 0.1))
    with server.client() as client:
        fill(client, "email", 3)
    clock = Clock()
    source = collector(wire.url, clock)
    assert page(source)["celery_group_work{group=email}"] == 3
    again = later(source, clock)
    assert again["celery_exporter_redis_up"] == 1
    # One round trip.
    assert again["celery_exporter_read_seconds"] == 0, "the test's own clock stands"
    began = time.monotonic()
    later(source, clock)
    assert 0.1 <= time.monotonic() - began < 0.2


def test_a_slow_redis_is_given_up_in_time_and_read_when_it_is_fast_again(
    server: RedisServer, closing: Callable[[Slow], Slow]
) -> None:
    wire = closing(Slow(server.port, 0))
    clock = Clock()
    source = collector(wire.url, clock)
    page(source)
    # Each answer is in time for its socket, and connecting and asking together are not.
    wire.delay = 1.9
    began = time.monotonic()
    assert later(source, clock)["celery_exporter_redis_up"] in (0, 1)
    wire_closed = later(source, clock)
    assert time.monotonic() - began < 2 * PATIENCE
    assert wire_closed["celery_queue_length{queue_name=email}"] == 0
    wire.delay = 0
    until(lambda: later(source, clock)["celery_exporter_redis_up"] == 1, 20, "it is read again")


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if "_run" in thread.name}


def test_a_server_that_answers_a_byte_at_a_time_is_given_up_and_left(closing: Callable[[Liar], Liar]) -> None:
    liar = closing(Liar(b"+" + b"x" * 1000, pace=0.2))
    clock = Clock()
    source = collector(liar.url, clock)
    before = threads()
    for _ in range(2):
        began = time.monotonic()
        found = later(source, clock)
        assert time.monotonic() - began < PATIENCE
        assert found["celery_exporter_redis_up"] == 0
    assert LIMIT < PATIENCE
    until(lambda: threads() <= before, 10, "the thread of the look has ended")


GARBAGE = {
    "another protocol": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "noise": bytes(range(256)) * 4,
    "ok to all": b"+OK\r\n" * 8,
    "numbers": b":1\r\n" * 8,
    "nothing": b"$-1\r\n" * 8,
    "an empty list": b"*0\r\n" * 8,
    "too short a list": b"*2\r\n:1\r\n:2\r\n" * 8,
    "texts in a list": b"*26\r\n" + b"$3\r\nabc\r\n" * 26,
    "a size below zero": b"$-7\r\n" * 8,
    "an error without a name": b"-\r\n" * 8,
    "half an answer": b"*5\r\n$100\r\nabc",
}


@pytest.mark.parametrize("words", GARBAGE.values(), ids=GARBAGE)
def test_a_server_that_answers_garbage_costs_no_page(
    words: bytes, closing: Callable[[Liar], Liar], caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    source = collector(closing(Liar(words)).url, clock)
    for _ in range(3):
        began = time.monotonic()
        found = later(source, clock)
        assert time.monotonic() - began < PATIENCE
        assert found["celery_exporter_redis_up"] == 0
        assert that_scale(found) == []
    assert 1 <= len(caplog.messages) <= 3
    assert max(len(message) for message in caplog.messages) < 600


def test_a_key_of_another_kind_takes_its_own_number_and_no_other(
    redis: Redis, clean_redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    keys = Keys(PREFIX)
    fill(redis, "email", 3)
    for key in (keys.dead_letters("email"), keys.paused(), keys.workers("both"), keys.schedule(), keys.beat_lock()):
        redis.lpush(key, "stranger")
    redis.set(keys.running("email"), "stranger")
    found = page(collector(clean_redis_url))
    assert found["celery_exporter_redis_up"] == 1
    assert found["celery_group_work{group=email}"] == 3
    assert found["celery_group_dead_letters{group=both}"] == 0
    assert found["celery_active_consumer_count{queue_name=email}"] == 0
    missing = {"celery_group_dead_letters{group=email}", "celery_queue_paused{queue_name=mail}"}
    missing |= {"celery_group_oldest_running_seconds{group=email}", "celery_active_consumer_count{queue_name=mail}"}
    assert missing & set(found) == set()
    assert caplog.text.count("WRONGTYPE") == 1
    # A queue that is no list can't be counted, and a scaler must not be told that it is empty.
    redis.set(keys.waiting("push")[0], "stranger")
    assert page(collector(clean_redis_url))["celery_exporter_redis_up"] == 0
