"""What the exporter tells is what happens: workers come, run, die and leave; beat ticks and stops."""

from __future__ import annotations

import gc
import json
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from app.exporter.collector import BrokerCollector
from app.runtime.keys import Keys
from tests.faults.bench import Bench, holds, wait_for
from tests.support.exporter import Clock, Page, collector, later
from tests.support.redis import RedisServer

KEYS = Keys("bench:")
CONSUMERS, RUNNING = "celery_active_consumer_count{queue_name=work}", "celery_group_oldest_running_seconds{group=bench}"
LAPSED, WAITING = "celery_group_lapsed_leases{group=bench}", "celery_queue_oldest_age_seconds{queue_name=work}"
LATE = "celery_beat_schedule_overdue_seconds{schedule=tick}"

Look = Callable[[], Page]


@pytest.fixture
def look(bench: Bench) -> Look:
    """A function that asks the exporter."""
    groups = {"bench": {"queues": ["work"], "slots": 2, "waitSeconds": 5}}
    own = {"EXPORTER_GROUPS": json.dumps(groups), "CELERY_KEY_PREFIX": KEYS.prefix}
    lease = {"CELERY_LEASE_SECONDS": str(bench.lease), "CELERY_BEAT_LOCK_SECONDS": "5"}
    clock = Clock()
    source = collector(bench.server.url, clock, **own, **lease)
    return lambda: later(source, clock)


def test_a_worker_is_there_while_it_lives_and_what_it_runs_has_its_age(bench: Bench, look: Look) -> None:
    assert look()[CONSUMERS] == 0
    first = bench.worker("first")
    bench.worker("second")
    wait_for("both are told", lambda: look()[CONSUMERS] == 2, within=5)
    bench.send("sleep", "long", 12)
    wait_for("it started", lambda: bench.count("start long"), within=10)
    began = time.monotonic()
    # A worker tells at each renewal, a third of a lease.
    wait_for("its age is told", lambda: look()[RUNNING] > 4, within=bench.lease)
    assert look()[RUNNING] == pytest.approx(time.monotonic() - began, abs=2)
    wait_for("it has ended", bench.settled, within=20)
    wait_for("nothing runs", lambda: look()[RUNNING] == 0, within=bench.lease)
    assert first.stop() == 0
    assert look()[CONSUMERS] == 1, "who leaves says so"
    names = [KEYS.workers("bench"), KEYS.running("bench")]
    assert [bench.server.client.zcard(name) for name in names] == [1, 0]


def test_a_killed_worker_is_missed_within_a_lease_and_its_messages_are_nobodys(bench: Bench, look: Look) -> None:
    worker = bench.worker("alone")
    bench.send("sleep", "killed", 60)
    bench.send("sleep", "waits", 60)
    bench.send("sleep", "waits too", 60)
    wait_for("two run", lambda: len(bench.journal()) == 2, within=10)
    wait_for("that is told", lambda: look()[RUNNING] > 0, within=bench.lease)
    assert look()[LAPSED] == 0
    worker.kill()
    took = wait_for("nobody is there", lambda: look()[CONSUMERS] == 0, within=bench.lease + 2)
    assert took > 1
    wait_for("both are nobody's", lambda: look()[LAPSED] == 2, within=5)
    assert look()[WAITING] > took
    # No worker lives who would take its name off the list.
    wait_for("its task runs no more", lambda: look()[RUNNING] == 0, within=2 * bench.lease + 2)
    bench.worker("successor")
    wait_for("they are taken back", lambda: look()[LAPSED] == 0, within=bench.lease + 15)


def test_the_living_forget_the_dead(bench: Bench, look: Look) -> None:
    bench.worker("lives")
    dead = bench.worker("dies")
    bench.send("sleep", "one", 60)
    bench.send("sleep", "two", 60)
    bench.send("sleep", "three", 60)
    wait_for("all run", lambda: len(bench.journal()) == 3, within=10)
    busy = KEYS.running("bench")
    wait_for("both tell what they run", lambda: bench.server.client.zcard(busy) == 2, within=bench.lease)
    dead.kill()
    for key in (KEYS.workers("bench"), busy):
        wait_for("one is left", lambda key=key: bench.server.client.zcard(key) == 1, within=2 * bench.lease)
    assert look()[CONSUMERS] == 1


def test_a_redis_that_refuses_to_note_workers_keeps_leases_as_they_are(bench: Bench, look: Look) -> None:
    bench.server.client.set(KEYS.workers("bench"), "a stranger's")
    bench.worker("first")
    bench.worker("second")
    bench.send("sleep", "long", 3 * bench.lease)
    wait_for("it has ended", lambda: bench.count("end long") == 1, within=3 * bench.lease + 20)
    assert bench.count("start long") == 1
    assert not bench.workers[0].logged("Lease renewal failed")
    assert CONSUMERS not in look()


def test_a_beat_is_seen_to_tick_and_a_dead_one_to_be_late(bench: Bench, look: Look) -> None:
    beat = bench.beat("beat")
    wait_for("it ticks", lambda: look()["celery_beat_lock_held"] == 1, within=20)
    wait_for("its schedule is known", lambda: LATE in look(), within=5)
    ticked = "celery_beat_last_tick_timestamp_seconds"
    holds("it is in time", lambda: look()[LATE] < 3 and time.time() - look()[ticked] < 5, 6)
    beat.kill()
    seen = look()[ticked]
    wait_for("its lock is free", lambda: look()["celery_beat_lock_held"] == 0, within=8)
    wait_for("the schedule is late", lambda: look()[LATE] > 5, within=10)
    assert look()[ticked] == pytest.approx(seen, abs=0.1)


def size(source: BrokerCollector) -> int:
    registry = CollectorRegistry()
    registry.register(source)
    return len(generate_latest(registry))


@pytest.mark.timeout(300)
def test_two_thousand_looks_leave_nothing_behind(tmp_path: Path) -> None:
    """Each is a look of its own, at a Redis whose workers and schedules are new ones every time."""
    server = RedisServer(tmp_path)
    server.start()
    clock = Clock()
    source = collector(server.url, clock, CELERY_KEY_PREFIX=KEYS.prefix)

    def looks(count: int, start: int) -> None:
        for number in range(start, start + count):
            pipe = client.pipeline(transaction=False)
            for group in ("email", "both"):
                pipe.zadd(KEYS.workers(group), {f"pod-{number}": time.time()})
                pipe.zadd(KEYS.running(group), {f"pod-{number}": time.time()})
            pipe.zadd(KEYS.schedule(), {f"{KEYS.redbeat()}made-{number}": 2e9 + number})
            pipe.execute()
            later(source, clock)

    try:
        with server.client() as client:
            looks(200, 0)
            threads, page = threading.active_count(), size(source)
            tracemalloc.start()
            looks(20, 200)
            gc.collect()
            before, _ = tracemalloc.get_traced_memory()
            looks(2000, 220)
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        server.stop()
    assert after - before < 100_000, f"{after - before} bytes more"
    assert threading.active_count() <= threads
    assert size(source) <= 1.1 * page, "the page after 2,000 replaced pods"
