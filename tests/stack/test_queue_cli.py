"""On a running stack: a paused queue stands still over a restart, a purge spares what runs, a resumed queue flows."""

from __future__ import annotations

import json
import uuid
from typing import Any

from app.store import connect
from scripts.stack.supervision import Supervisor
from tests.support.stack import Stack, until


def queue(stack: Stack, *arguments: str) -> Any:
    ran = stack.client("app.queue_cli", *arguments, "--json")
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def state(stack: Stack, name: str) -> dict[str, Any]:
    (row,) = [row for row in queue(stack, "inspect") if row["queue"] == name]
    return dict(row)


def test_a_paused_queue_is_not_consumed_even_by_a_worker_that_starts_later_until_it_is_resumed(stack: Stack) -> None:
    queue(stack, "pause", "report")
    try:
        # Workers follow within seconds: a probe that stays waiting shows that they have.
        def stands() -> bool:
            stack.send("tasks.check_status", options=("--queue", "report", "--no-wait"))
            try:
                until(lambda: state(stack, "report")["waiting"] == 0, 3, "consumed")
            except AssertionError:
                return True
            return False

        until(stands, 30, "the worker stops taking from the queue")
        Supervisor(stack.place).stop(["worker-report"])
        assert stack.command("up").returncode == 0
        row = state(stack, "report")
        assert (row["paused"], row["waiting"], row["in_flight"]) == (True, 1, 0)
    finally:
        queue(stack, "resume", "report")
    until(lambda: state(stack, "report")["waiting"] == 0, 30, "the queue flows again")


def test_purge_spares_the_task_that_runs(stack: Stack) -> None:
    name = uuid.uuid4().hex
    store = connect(stack.place.redis_url(2))
    running = stack.send("tasks.faults.sleep", 6, name, options=("--queue", "email", "-n", "2", "--no-wait"))
    until(lambda: len(store.runs(name)) == 2, 20, "both slots of the worker are taken")
    stack.send("tasks.faults.sleep", 6, name, options=("--queue", "email", "-n", "3", "--no-wait"))
    row = state(stack, "email")
    assert row["waiting"] + row["in_flight"] == 5
    deleted = queue(stack, "purge", "email", "--yes")["deleted"]
    assert deleted == row["waiting"] >= 1
    until(lambda: state(stack, "email")["in_flight"] == 0, 40, "what was running ends")
    ended = {event["task_id"] for event in store.runs(name) if event["what"] == "end"}
    assert set(running["task_ids"]) <= ended
    assert len(ended) == 5 - deleted
