"""Promise: what an operator says of a task or a queue holds over restarts, and with no worker running."""

from __future__ import annotations

import pytest

from tests.faults.bench import Bench, holds, wait_for

CANCEL = "from app.runtime.cancel import cancel; cancel(app, {task!r}, terminate={terminate})"
PAUSES = "from app.runtime.pause import pause, resume; {call}(app, 'work')"


def state(bench: Bench, task_id: str) -> str:
    return bench.run(f"print(app.AsyncResult({task_id!r}).state)")


def test_a_task_cancelled_while_no_worker_runs_never_starts(bench: Bench) -> None:
    task_id = bench.send("sleep", "cancelled", 0.1)
    bench.run(CANCEL.format(task=task_id, terminate=False))
    bench.worker("a")
    wait_for("everything is settled", bench.settled, within=20)
    assert (state(bench, task_id), bench.journal()) == ("REVOKED", [])


def test_a_task_with_an_eta_stays_cancelled_over_a_restart_of_its_worker(bench: Bench) -> None:
    first = bench.worker("first")
    task_id = bench.send("sleep", "cancelled", 0.1, countdown=10)
    wait_for("the worker holds it", bench.in_flight, within=10)
    bench.run(CANCEL.format(task=task_id, terminate=False))
    first.stop()
    bench.worker("second")
    wait_for("everything is settled", bench.settled, within=30)
    assert (state(bench, task_id), bench.journal()) == ("REVOKED", [])


def test_a_running_task_is_terminated_when_asked(bench: Bench) -> None:
    bench.worker("a")
    task_id = bench.send("sleep", "terminated", 30)
    wait_for("it started", lambda: bench.count("start terminated"), within=10)
    bench.run(CANCEL.format(task=task_id, terminate=True))
    wait_for("everything is settled", bench.settled, within=10)
    assert (state(bench, task_id), bench.count("end terminated")) == ("REVOKED", 0)


def test_a_paused_queue_stays_paused_over_a_restart_until_it_is_resumed(bench: Bench) -> None:
    first = bench.worker("first")
    bench.run(PAUSES.format(call="pause"))
    wait_for("the worker follows", lambda: first.logged("Canceling queue work"), within=15)
    bench.send("sleep", "paused", 0.1)
    holds("nothing starts", lambda: not bench.journal(), 3)
    first.stop()
    second = bench.worker("second")
    holds("nothing starts after the restart", lambda: not bench.journal(), 5)
    assert second.heartbeat_age() < 10, "a paused worker is alive"
    bench.run(PAUSES.format(call="resume"))
    wait_for("it ended", lambda: bench.count("end paused"), within=15)


@pytest.mark.parametrize(("once", "starts"), [(True, 1), (False, 2)])
def test_a_second_copy_of_a_tick_is_dropped_and_of_another_task_is_not(bench: Bench, once: bool, starts: int) -> None:
    bench.worker("a")
    for _ in range(2):
        bench.send("sleep", "copied", 0.1, task_id="the-same", headers={"once": once})
        wait_for("it ended", lambda: bench.count("end copied"), within=10)
        wait_for("everything is settled", bench.settled, within=10)
    assert bench.count("start copied") == starts


def test_a_message_that_asks_for_more_time_than_the_group_allows_is_refused(bench: Bench) -> None:
    bench.worker("a")
    task_id = bench.send("sleep", "greedy", 0.1, time_limit=3600)
    wait_for("everything is settled", bench.settled, within=10)
    assert "asks for a time limit of 3600 s, and its group allows 60 s" in bench.run(
        f"print(app.AsyncResult({task_id!r}).result)"
    )
    assert bench.journal() == []
