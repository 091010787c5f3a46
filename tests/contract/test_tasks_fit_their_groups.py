"""Tasks, queues and groups agree: every task has a queue that exists and a limit that its group allows."""

from __future__ import annotations

from typing import Any

import pytest

from app.celery_app import TASK_MODULES, app
from app.queues import GROUPS, QUEUE_NAMES, QUEUES, ROUTES, group_of
from app.schedule import SCHEDULE

app.loader.import_default_modules()
# Sorted: two processes of the tests must agree on the order.
TASKS = {name: task for name, task in sorted(app.tasks.items()) if type(task).run.__module__ in TASK_MODULES}
# The wire names of the example: a producer somewhere else relies on them.
WIRE_NAMES = {
    "tasks.email.send_email",
    "tasks.email.send_notification",
    "tasks.process_order",
    "tasks.process_payment",
    "tasks.unreliable_task",
    "tasks.report.generate",
    "tasks.weekly_report",
    "tasks.check_status",
    "tasks.cleanup",
    "tasks.monthly_billing",
    "tasks.combine_results",
    "tasks.on_task_failure",
}


def queue_of(name: str) -> str:
    return str(app.amqp.router.route({}, name)["queue"].name)


def test_every_name_that_producers_rely_on_is_registered() -> None:
    assert set(TASKS) >= WIRE_NAMES


def test_queues_are_those_of_the_groups_in_their_order() -> None:
    assert [queue for group in GROUPS.values() for queue in group.queues] == list(QUEUE_NAMES)
    assert [queue.name for queue in app.conf.task_queues] == [queue.name for queue in QUEUES]
    assert len(set(QUEUE_NAMES)) == len(QUEUE_NAMES)


def test_routes_and_queues_are_those_of_the_design() -> None:
    assert {pattern: route["queue"] for pattern, route in ROUTES.items()} == {
        "tasks.email.*": "email",
        "tasks.report.*": "report",
        "tasks.weekly_report": "report",
        "tasks.high_priority.*": "high",
        "tasks.process_order": "high_priority",
    }
    assert {name: group.queues for name, group in GROUPS.items()} == {
        "default": ("default",),
        "email": ("email",),
        "report": ("report",),
        "high": ("high",),
        "orders": ("high_priority",),
    }


@pytest.mark.parametrize("name", TASKS)
def test_each_task_goes_to_a_declared_queue(name: str) -> None:
    assert queue_of(name) in QUEUE_NAMES


@pytest.mark.parametrize("name", TASKS)
def test_no_task_may_run_longer_than_its_group_allows(name: str) -> None:
    allowed = group_of(queue_of(name)).time_limit
    task = TASKS[name]
    assert (task.time_limit or allowed) <= allowed
    assert (task.soft_time_limit or 0) < (task.time_limit or allowed)


@pytest.mark.parametrize("name", TASKS)
def test_each_task_says_in_a_sentence_what_it_does(name: str) -> None:
    first = (TASKS[name].run.__doc__ or "").split("\n\n")[0]
    assert first.endswith(".")


@pytest.mark.parametrize("entry", SCHEDULE)
def test_each_beat_entry_sends_a_known_task_that_expires_before_the_next(entry: str) -> None:
    described: dict[str, Any] = SCHEDULE[entry]
    assert described["task"] in TASKS
    schedule = described["schedule"]
    if isinstance(schedule, float):
        assert described["options"]["expires"] < schedule
    else:
        assert described["options"]["expires"] > 0


def test_the_beat_entries_are_the_documented_ones() -> None:
    assert {name: str(entry["schedule"]) for name, entry in SCHEDULE.items()} == {
        "check-every-minute": "60.0",
        "daily-cleanup": "<crontab: 0 2 * * * (m/h/dM/MY/d)>",
        "weekly-report": "<crontab: 0 9 * * monday (m/h/dM/MY/d)>",
        "monthly-billing": "<crontab: 0 0 1 * * (m/h/dM/MY/d)>",
    }
    assert SCHEDULE["weekly-report"]["args"] == ("weekly",)
    assert (str(app.conf.timezone), app.conf.enable_utc) == ("Asia/Shanghai", True)
