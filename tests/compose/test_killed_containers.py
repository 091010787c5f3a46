"""A container of each kind is killed under load, and no accepted task is lost."""

from __future__ import annotations

import pytest

from app.queues import GROUPS
from scripts.progress import run
from tests.support.compose import Stack
from tests.support.stack import until

# Tasks that a worker has at most begun when it is killed, and so are begun again.
SLOTS = {group.name: group.concurrency for group in GROUPS.values()}


def kill(stack: Stack, service: str) -> str:
    """Kill a container of a service and return its id."""
    victim = stack.containers(service)[0].id
    run(["docker", "kill", victim])
    return victim


@pytest.mark.parametrize("group", GROUPS)
def test_the_others_of_a_group_do_the_work_of_a_killed_worker(stack: Stack, group: str) -> None:
    ledger, (queue, *_) = f"killed-{group}", GROUPS[group].queues
    sent = stack.send("tasks.faults.sleep", 1.5, ledger, count=3 * SLOTS[group], queue=queue)
    until(lambda: len(stack.started(ledger)) > SLOTS[group], 30, "both workers of the group are at work")
    victim = kill(stack, f"worker-{group}")
    stack.agrees(ledger, sent, 60, repeats=SLOTS[group])
    assert stack.up()["changed"] == [f"worker-{group}"]
    assert victim in {each.id for each in stack.containers(f"worker-{group}")}, "the same container, started again"


@pytest.mark.parametrize("service", ["broker", "beat", "flower", "api", "exporter", "prometheus", "sandbox"])
def test_every_task_is_done_when_something_else_is_killed(stack: Stack, service: str) -> None:
    ledger, others = f"killed-{service}", Stack(stack.place, stack.shell, stack.account, teller="worker-email")
    sent = others.send("tasks.faults.sleep", 1.5, ledger, count=24)
    until(lambda: len(others.started(ledger)) >= 8, 30, "all slots are at work")
    kill(stack, service)
    assert stack.up()["changed"] == [service]
    # A broker that was away gets its running tasks' results late, and forgets nothing that it had acknowledged.
    others.agrees(ledger, sent, 60, repeats=8 if service == "broker" else 0)


def test_after_all_that_everything_is_well(stack: Stack) -> None:
    ran = stack.command("smoke")
    assert ran.returncode == 0, ran.stderr + ran.stdout
    assert stack.up()["changed"] == []
