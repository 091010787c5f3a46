"""Promise: a Redis that dies, or is away for a while, loses no task, repeats none, and restarts no worker."""

from __future__ import annotations

from tests.faults.bench import Bench, holds, wait_for


def test_a_redis_killed_in_mid_task_repeats_nothing(bench: Bench) -> None:
    bench.worker("a")
    bench.send("sleep", "running", 6)
    wait_for("it started", lambda: bench.count("start running"), within=10)
    for number in range(4):
        bench.send("sleep", f"waiting{number}", 0.1)
    bench.server.kill()
    bench.server.start()
    wait_for("everything ended", lambda: len([line for line in bench.journal() if "end" in line]) == 5, within=60)
    wait_for("everything is settled", bench.settled, within=20)
    assert len(bench.journal()) == 10, bench.journal()


def test_a_task_that_ends_while_redis_is_away_is_not_repeated(bench: Bench) -> None:
    bench.worker("a")
    bench.worker("b")
    bench.send("sleep", "ended", 4)
    wait_for("it started", lambda: bench.count("start ended"), within=10)
    bench.server.kill()
    wait_for("it ended", lambda: bench.count("end ended"), within=20)
    holds("nothing starts while Redis is away", lambda: bench.count("start ended") == 1, 5)
    bench.server.start()
    wait_for("everything is settled", bench.settled, within=60)
    bench.send("sleep", "after", 0.1)
    wait_for("work goes on", lambda: bench.count("end after"), within=30)
    assert bench.count("start ended") == 1


def test_a_retry_that_could_not_be_published_is_not_lost(bench: Bench) -> None:
    bench.worker("a")
    bench.send("retry_after", "retried", 3)
    wait_for("it started", lambda: bench.count("start retried"), within=10)
    bench.server.kill()
    holds("nothing happens while Redis is away", lambda: len(bench.journal()) == 1, 15)
    bench.server.start()
    wait_for("it ran again", lambda: bench.count("end retried"), within=60)
    wait_for("everything is settled", bench.settled, within=10)


def test_the_next_of_a_chain_that_could_not_be_published_is_not_lost(bench: Bench) -> None:
    bench.worker("a")
    bench.run("from tests.faults.application import sleep;(sleep.si('first', 3) | sleep.si('next', 0.1)).apply_async()")
    wait_for("it started", lambda: bench.count("start first"), within=10)
    bench.server.kill()
    wait_for("the first ended", lambda: bench.count("end first"), within=10)
    holds("the next can't start", lambda: not bench.count("start next"), 10)
    bench.server.start()
    wait_for("the next ended", lambda: bench.count("end next"), within=90)
    wait_for("everything is settled", bench.settled, within=20)


def test_the_heartbeat_stays_fresh_while_redis_is_down_for_30_seconds(bench: Bench) -> None:
    worker = bench.worker("a")
    wait_for("the heartbeat is there", lambda: worker.heartbeat_age() < 5, within=10)
    bench.server.kill()
    holds("the heartbeat is fresh", lambda: worker.heartbeat_age() < 10, 30)
    bench.server.start()
    bench.send("sleep", "after", 0.1)
    wait_for("it consumes again", lambda: bench.count("end after"), within=60)


def test_the_heartbeat_of_a_solo_worker_stays_fresh_while_its_task_runs(bench: Bench) -> None:
    solo = ("--pool", "solo")
    worker = bench.worker("a", flags=solo, BENCH_UNBOUNDED_POOL="yes", BENCH_TOLERANCE="4")
    bench.send("sleep", "long", 15)
    wait_for("it started", lambda: bench.count("start long"), within=10)
    holds("the heartbeat is fresh", lambda: worker.heartbeat_age() < 6, 12)
    wait_for("everything is settled", bench.settled, within=10)


def test_the_heartbeat_goes_stale_when_reconnecting_never_ends_though_redis_answers(bench: Bench) -> None:
    worker = bench.worker("a", BENCH_RECONNECT_LIMIT="15")
    wait_for("the heartbeat is there", lambda: worker.heartbeat_age() < 5, within=10)
    # Every BRPOP is refused, so the worker connects and breaks for ever, while a PING is answered.
    bench.server.client.execute_command("ACL", "SETUSER", "default", "-brpop")
    bench.cut_connections()
    holds("it is excused at first", lambda: worker.heartbeat_age() < 10, 8)
    wait_for("the heartbeat is stale", lambda: worker.heartbeat_age() > 15, within=60)
    assert worker.process.poll() is None
