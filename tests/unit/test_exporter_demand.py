"""The exporter tells how many slots a group wants, so that its tasks wait no longer than they may."""

from __future__ import annotations

import math

import pytest
from redis import Redis

from app.exporter.demand import MEMORY, Demand, slots_wanted
from app.exporter.reading import Load
from app.runtime.keys import Keys
from tests.support.exporter import (
    PREFIX,
    Clock,
    collector,
    fill,
    later,
    page,
    serve,
)


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
        # Tasks that outlast the memory of their arrival keep their slots.
        (load(running=100), 0.05, 300.0, 10.0, 100.0),
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
