"""Promise: what a scaler reads is the work that there is, whatever died."""

from __future__ import annotations

import json

from app.runtime.keys import Keys
from app.runtime.options import PRIORITY_STEPS
from tests.faults.bench import Bench, holds, wait_for

KEYS = Keys("bench:")


def held(bench: Bench) -> int:
    return int(bench.server.client.zcard(KEYS.held("bench")))


def work(bench: Bench) -> int:
    return bench.waiting() + bench.in_flight() - held(bench)


def send_later(bench: Bench, seconds: float, count: int = 10) -> None:
    name = "tests.faults.application.sleep"
    bench.run(f"[app.send_task({name!r}, (f'later-{{i}}', 0), countdown={seconds}) for i in range({count})]")


def test_what_a_worker_holds_until_its_eta_is_no_work_until_then(bench: Bench) -> None:
    bench.worker("a")
    send_later(bench, 8)
    wait_for("the worker holds them all", lambda: bench.in_flight() == 10, within=6)
    assert (held(bench), work(bench)) == (10, 0)
    wait_for("all ended", lambda: sum(line.startswith("end") for line in bench.journal()) == 10, within=20)
    wait_for("nothing is left", bench.settled, within=5)
    assert held(bench) == 0


def test_what_a_stopped_or_killed_worker_held_is_work_again(bench: Bench) -> None:
    first = bench.worker("first")
    send_later(bench, 300)
    wait_for("the worker holds them all", lambda: held(bench) == 10, within=10)
    first.stop()
    assert (bench.waiting(), held(bench)) == (10, 0)
    second = bench.worker("second")
    wait_for("the next one holds them all", lambda: held(bench) == 10, within=10)
    second.kill()
    assert (bench.waiting(), held(bench)) == (0, 10)
    third = bench.worker("third")
    wait_for("they went back", lambda: third.log.read_text().count("received") == 10, within=4 * bench.lease)
    wait_for("the third holds them all", lambda: held(bench) == bench.in_flight() == 10, within=10)


def test_a_worker_that_holds_tasks_outlives_an_outage_and_runs_each_once(bench: Bench) -> None:
    worker = bench.worker("a")
    send_later(bench, 4 * bench.lease, count=3)
    wait_for("the worker holds them all", lambda: held(bench) == 3, within=10)
    bench.server.kill()
    wait_for("it has noticed", lambda: worker.logged("Trying to re-establish"), within=20)
    bench.server.start()
    wait_for("all ended", lambda: sum(line.startswith("end") for line in bench.journal()) == 3, within=60)
    assert sum(line.startswith("start") for line in bench.journal()) == 3
    assert worker.process.poll() is None
    wait_for("nothing is left", lambda: bench.settled() and not held(bench), within=5)


def test_a_held_message_that_vanished_is_forgotten_at_the_next_renewal(bench: Bench) -> None:
    bench.worker("a")
    send_later(bench, 300, count=2)
    wait_for("the worker holds both", lambda: held(bench) == 2, within=10)
    # As the crash of a worker between two commands leaves it; and an eta that nobody lived to see.
    bench.server.client.zadd(KEYS.held("bench"), {"gone": 4e9, "overdue": 1})
    wait_for("only what is held counts", lambda: held(bench) == 2, within=bench.lease)


def test_a_message_whose_eta_is_no_time_ends_no_worker(bench: Bench) -> None:
    send_later(bench, 300, count=1)
    broken = json.loads(bench.server.client.lpop("bench:work"))
    broken["headers"]["eta"] = "tomorrow"
    bench.server.client.lpush("bench:work", json.dumps(broken))
    worker = bench.worker("a")
    bench.send("sleep", "next", 0.1)
    wait_for("the next one is done", lambda: bench.count("end next"), within=10)
    assert worker.process.poll() is None
    wait_for("the broken one is gone", bench.settled, within=5)


def test_what_the_group_has_done_is_counted_with_its_time(bench: Bench) -> None:
    bench.worker("a")
    for number in range(4):
        bench.send("sleep", f"one-{number}", 1)
    bench.send("die_once", "retried")
    wait_for("all ended", lambda: sum(line.startswith("end") for line in bench.journal()) == 5, within=30)

    def served() -> tuple[int, float]:
        done = bench.server.client.hgetall(KEYS.served("bench"))
        return int(done.get(b"tasks", 0)), float(done.get(b"seconds", 0))

    # A retry is an arrival and an end of its own.
    wait_for("six attempts are counted", lambda: served()[0] == 6, within=10)
    assert 4 <= served()[1] < 12
    holds("nothing is counted twice", lambda: served()[0] == 6, seconds=6)


def send_with_priorities(bench: Bench) -> None:
    bench.environment["BENCH_PRIORITIES"] = "1"
    for key, options in (
        ("last", {"priority": 9}),
        ("usual", {}),
        ("soon", {"priority": 4}),
        ("first", {"priority": 0}),
    ):
        bench.send("sleep", key, 0.1, **options)


def waiting_by_priority(bench: Bench) -> list[int]:
    return [int(bench.server.client.llen(name)) for name in Keys("bench:", PRIORITY_STEPS).waiting("work")]


def test_with_priorities_the_urgent_go_first_and_none_is_the_second_last(bench: Bench) -> None:
    send_with_priorities(bench)
    assert waiting_by_priority(bench) == [1, 1, 1, 1]
    bench.worker("a", flags=("-c", "1", "--without-gossip", "--without-mingle"))
    wait_for("all ended", lambda: sum(line.startswith("end") for line in bench.journal()) == 4, within=20)
    assert [line for line in bench.journal() if line.startswith("end")] == [
        f"end {key}" for key in ("first", "soon", "usual", "last")
    ]


def test_what_a_dead_worker_held_goes_back_to_the_list_of_its_priority(bench: Bench) -> None:
    # A worker that takes nothing more, so that what goes back stays to be seen.
    bench.environment["BENCH_PRIORITIES"] = "1"
    bench.worker("a", flags=("-c", "1", "--without-gossip", "--without-mingle"))
    bench.send("sleep", "blocker", 50)
    wait_for("the worker is busy", lambda: bench.count("start blocker"), within=10)
    send_with_priorities(bench)
    bench.run(
        "import os; channel = app.connection().channel(); [channel.basic_get('work') for _ in range(4)]; os._exit(0)"
    )
    assert (waiting_by_priority(bench), bench.in_flight()) == ([0, 0, 0, 0], 5)
    wait_for("all went back", lambda: waiting_by_priority(bench) == [1, 1, 1, 1], within=4 * bench.lease)
    assert bench.in_flight() == 1


def test_a_soft_shutdown_ends_what_can_end_and_gives_the_rest_back(bench: Bench) -> None:
    first = bench.worker("first", BENCH_SOFT_SHUTDOWN="4", REMAP_SIGTERM="SIGQUIT")
    bench.send("sleep", "short", 3)
    bench.send("sleep", "long", 40)
    wait_for("both run", lambda: bench.count("start short") and bench.count("start long"), within=10)
    first.stop(within=15)
    assert bench.count("end short") == 1
    assert (bench.waiting(), bench.in_flight()) == (1, 0)
    second = bench.worker("second")
    # At once: what was given back on purpose waits for no lease.
    wait_for("it runs again", lambda: bench.count("start long") == 2, within=bench.lease / 2)
    assert bench.count("start short") == 1
    second.kill()
