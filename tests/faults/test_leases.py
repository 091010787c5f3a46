"""Promise: a living worker's work is never taken, and a dead worker's work is back after one lease.

Each fault is shown twice: with the runtime one start, and with the runtime switched off (same settings) several.
"""

from __future__ import annotations

import json
import signal

import pytest

from tests.faults.bench import Bench, holds, wait_for

RUNTIMES = pytest.mark.parametrize("runtime", ["on", "off"])


def one_start_or_several(bench: Bench, runtime: str, key: str) -> None:
    wait_for(
        "every start has ended, and nothing waits or is held",
        lambda: bench.count(f"end {key}") >= max(1, bench.count(f"start {key}")) and bench.settled(),
        within=90,
    )
    starts = bench.count(f"start {key}")
    assert starts == 1 if runtime == "on" else starts > 1, f"{starts} starts with the runtime {runtime}"


@RUNTIMES
def test_a_task_four_leases_long_starts_once(bench: Bench, runtime: str) -> None:
    for name in ("a", "b"):
        bench.worker(name, RUNTIME=runtime)
    bench.send("sleep", "long", 4 * bench.lease)
    one_start_or_several(bench, runtime, "long")


@RUNTIMES
def test_a_task_with_an_eta_three_leases_ahead_starts_once(bench: Bench, runtime: str) -> None:
    for name in ("a", "b"):
        bench.worker(name, RUNTIME=runtime)
    bench.send("sleep", "later", 0.1, countdown=3 * bench.lease)
    wait_for("a worker holds it", bench.in_flight, within=10)
    one_start_or_several(bench, runtime, "later")


@RUNTIMES
def test_a_reset_connection_in_mid_task_starts_nothing_twice(bench: Bench, runtime: str) -> None:
    bench.worker("a", RUNTIME=runtime)
    bench.worker("b", RUNTIME=runtime)
    bench.send("sleep", "reset", 8)
    wait_for("it started", lambda: bench.count("start reset"), within=10)
    bench.cut_connections()
    one_start_or_several(bench, runtime, "reset")


@RUNTIMES
def test_a_redis_away_for_two_leases_starts_nothing_twice(bench: Bench, runtime: str) -> None:
    for name in ("a", "b"):
        bench.worker(name, RUNTIME=runtime)
    bench.send("sleep", "outage", 5 * bench.lease)
    wait_for("it started", lambda: bench.count("start outage"), within=10)
    bench.server.kill()
    holds("nothing else starts", lambda: bench.count("start outage") == 1, 2 * bench.lease)
    bench.server.start()
    one_start_or_several(bench, runtime, "outage")


def test_a_hung_redis_for_two_leases_starts_nothing_twice(bench: Bench) -> None:
    for name in ("a", "b"):
        bench.worker(name)
    bench.send("sleep", "hung", 5 * bench.lease)
    wait_for("it started", lambda: bench.count("start hung"), within=10)
    bench.server.process.send_signal(signal.SIGSTOP)
    holds("nothing else starts", lambda: bench.count("start hung") == 1, 2 * bench.lease)
    bench.server.process.send_signal(signal.SIGCONT)
    one_start_or_several(bench, "on", "hung")


def test_a_killed_workers_task_runs_again_within_a_lease_and_15_seconds(bench: Bench) -> None:
    first = bench.worker("first")
    bench.send("sleep", "killed", 3)
    wait_for("it started", lambda: bench.count("start killed"), within=10)
    bench.worker("second")
    first.kill()
    wait_for("it started again", lambda: bench.count("start killed") == 2, within=bench.lease + 15)
    wait_for("everything is settled", bench.settled, within=30)
    assert bench.count("end killed") == 1


def test_work_of_the_last_worker_waits_for_the_next_one(bench: Bench) -> None:
    first = bench.worker("first")
    bench.send("sleep", "left", 3)
    wait_for("it started", lambda: bench.count("start left"), within=10)
    first.kill()
    assert bench.in_flight() == 1, "a scaler must see the work that was left"
    bench.worker("second")
    wait_for("it ended", lambda: bench.count("end left"), within=bench.lease + 15)


def test_a_copy_of_a_running_task_waits_and_ends_with_it(bench: Bench) -> None:
    for name in ("a", "b"):
        bench.worker(name)
    bench.send("sleep", "copied", 8)
    wait_for("it started", lambda: bench.count("start copied"), within=10)
    [raw] = bench.server.client.hvals("bench:unacked:bench")

    message = json.loads(raw)[0]
    message["properties"]["delivery_tag"] = "a-copy"
    message["headers"]["redelivered"] = message["properties"]["delivery_info"]["redelivered"] = True
    bench.server.client.lpush("bench:work", json.dumps(message))
    wait_for("the copy is held too", lambda: bench.in_flight() == 2, within=10)
    wait_for("both are settled", bench.settled, within=20)
    assert bench.journal() == ["start copied", "end copied"]


def test_what_arrives_while_a_worker_ends_its_last_task_waits_for_another(bench: Bench) -> None:
    worker = bench.worker("ending")
    bench.send("sleep", "last", 12)
    wait_for("it started", lambda: bench.count("start last"), within=10)
    bench.send("sleep", "later", 0, countdown=300)
    wait_for("the worker holds both", lambda: bench.in_flight() == 2, within=10)
    worker.process.terminate()
    wait_for("the worker ends", lambda: worker.logged("Warm shutdown"), within=10)
    name = "tests.faults.application.sleep"
    # Redis gives the first to the BRPOP that the worker had sent before; and the worker held one for its eta.
    bench.run(f"[app.send_task({name!r}, (f'late-{{i}}', 0)) for i in range(3)]")
    wait_for("all four wait", lambda: bench.waiting() == 4, within=4)
    assert (bench.in_flight(), bench.count("end last")) == (1, 0)
    oldest = bench.server.client.lindex("bench:work", -1)
    assert b"'later'" in oldest, "what was taken first is next in line again"
