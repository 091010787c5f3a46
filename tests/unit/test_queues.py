"""Queues, groups and routes: one list, one owner for each queue, and nothing undeclared."""

from __future__ import annotations

import pytest
from celery.exceptions import QueueNotFound

from app.celery_app import app
from app.queues import GROUPS, QUEUE_NAMES, group_of


@pytest.mark.parametrize(
    ("task", "queue"),
    [
        ("tasks.email.send_email", "email"),
        ("tasks.report.generate", "report"),
        ("tasks.weekly_report", "report"),
        ("tasks.high_priority.check_stock", "high"),
        ("tasks.process_order", "high_priority"),
        ("tasks.process_payment", "default"),
        ("tasks.check_status", "default"),
        ("somebody.elses_task", "default"),
    ],
)
def test_a_task_goes_to_the_queue_that_the_routes_name(task: str, queue: str) -> None:
    assert app.amqp.router.route({}, task)["queue"].name == queue


@pytest.mark.parametrize("queue", QUEUE_NAMES)
def test_each_queue_belongs_to_exactly_one_group(queue: str) -> None:
    assert [name for name, group in GROUPS.items() if queue in group.queues] == [group_of(queue).name]


def test_a_queue_that_is_not_declared_is_refused_by_the_publisher() -> None:
    with pytest.raises(QueueNotFound, match="emial"):
        app.send_task("tasks.check_status", queue="emial")


def test_the_group_of_an_undeclared_queue_is_refused_with_the_known_names() -> None:
    with pytest.raises(KeyError, match=r"'emial' is not declared.*default, email, report, high, high_priority"):
        group_of("emial")


def test_orders_are_alone_in_their_queue() -> None:
    app.loader.import_default_modules()
    routed = [name for name in app.tasks if app.amqp.router.route({}, name)["queue"].name == "high_priority"]
    assert routed == ["tasks.process_order"]
