"""Promise: whatever process dies in mid-task, the task is done; and one that kills its processes is set aside."""

from __future__ import annotations

from tests.faults.bench import Bench, wait_for


def test_a_task_whose_pool_child_is_killed_is_done(bench: Bench) -> None:
    bench.worker("a")
    bench.send("die_once", "child")
    wait_for("it ended", lambda: bench.count("end child"), within=30)
    wait_for("everything is settled", bench.settled, within=10)
    assert bench.journal() == ["start child", "start child", "end child"]


def test_a_task_that_always_kills_its_child_becomes_a_dead_letter(bench: Bench) -> None:
    bench.worker("a")
    task_id = bench.send("die_always", "poison")
    dead = "bench:runtime:dead:bench"
    wait_for("it is a dead letter", lambda: bench.server.client.hexists(dead, task_id), within=60)
    wait_for("everything is settled", bench.settled, within=10)
    assert bench.count("start poison") == 4, "the first start and three retries"


def test_a_task_that_always_kills_its_worker_becomes_a_dead_letter_and_is_replayed(bench: Bench) -> None:
    task_id = bench.send("kill_worker", "poison")
    dead = "bench:runtime:dead:bench"

    def buried() -> bool:
        # What Kubernetes does: a worker that died is started anew.
        if not bench.workers or bench.workers[-1].process.poll() is not None:
            bench.worker(f"w{len(bench.workers)}")
        return bool(bench.server.client.hexists(dead, task_id))

    wait_for("it is a dead letter", buried, within=90)
    assert bench.count("start poison") == 4
    wait_for("everything is settled", bench.settled, within=10)
    replayed = bench.run(f"from app.runtime import deadletter; print(deadletter.replay(app, 'bench', '{task_id}'))")
    assert replayed == "True"
    wait_for("it started again", lambda: bench.count("start poison") == 5, within=20)


def test_a_worker_asked_to_end_finishes_what_it_runs(bench: Bench) -> None:
    worker = bench.worker("a")
    bench.send("sleep", "last", 5)
    wait_for("it started", lambda: bench.count("start last"), within=10)
    assert worker.stop() == 0
    assert bench.count("end last") == 1
    assert bench.settled()


def test_a_memory_error_in_one_task_ends_neither_the_worker_nor_its_sibling(bench: Bench) -> None:
    worker = bench.worker("a")
    bench.send("sleep", "sibling", 6)
    wait_for("the sibling started", lambda: bench.count("start sibling"), within=10)
    task_id = bench.send("exhaust_memory", "greedy")
    wait_for("everything is settled", bench.settled, within=30)
    assert worker.process.poll() is None
    assert bench.journal().count("end sibling") == bench.journal().count("start sibling") == 1
    state = bench.run(f"print(app.AsyncResult('{task_id}').state)")
    assert state == "FAILURE"
