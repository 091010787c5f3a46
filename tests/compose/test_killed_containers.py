"""A container of each kind is killed under load, and no accepted task is lost."""

from __future__ import annotations

import pytest

from app.queues import GROUPS
from scripts.progress import run
from tests.support.compose import Stack
from tests.support.stack import until

# Tasks that a worker has at most begun when it is killed, and so are begun again.
SLOTS = {group.name: group.concurrency for group in GROUPS.values()}


def kill(stack: Stack, service: str) -> None:
    run(["docker", "kill", stack.containers(service)[0].id])


@pytest.mark.timeout(180)
def test_the_others_of_each_group_do_the_work_of_a_killed_worker(stack: Stack) -> None:
    sent = {}
    for group in GROUPS.values():
        ledger = f"killed-{group.name}"
        options = {"count": 3 * group.concurrency, "queue": group.queues[0]}
        sent[group.name] = stack.send("tasks.faults.sleep", 2, ledger, **options)
        until(lambda ledger=ledger, group=group: len(stack.started(ledger)) > group.concurrency, 30, "both are at work")
        kill(stack, f"worker-{group.name}")
    for name, tasks in sent.items():
        stack.agrees(f"killed-{name}", tasks, 60, repeats=SLOTS[name])
    assert stack.up()["changed"] == sorted(f"worker-{name}" for name in GROUPS)


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "services", [("broker",), ("beat",), ("api",), ("exporter", "flower", "prometheus", "sandbox")], ids=" ".join
)
def test_every_task_is_done_when_something_else_is_killed(stack: Stack, services: tuple[str, ...]) -> None:
    ledger = f"killed-{services[0]}"
    others = Stack(stack.place, stack.shell, stack.account, teller="worker-email")
    sent = others.send("tasks.faults.sleep", 2, ledger, count=24)
    until(lambda: len(others.started(ledger)) >= 8, 30, "all slots are at work")
    for service in services:
        kill(stack, service)
    assert stack.up()["changed"] == sorted(services)
    # A task that can't tell that it has ended, since the broker is away, may be begun again.
    others.agrees(ledger, sent, 60, repeats=8 if "broker" in services else 0)


def test_after_all_that_everything_is_well(stack: Stack) -> None:
    ran = stack.command("smoke")
    assert ran.returncode == 0, ran.stderr + ran.stdout
    assert stack.up()["changed"] == []
