"""The exporter of the local stack knows its workers, its beat and its Redis."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families

from app.queues import GROUPS, QUEUE_NAMES
from tests.support.stack import Stack, until


def page(stack: Stack) -> dict[tuple[str, str], float]:
    """Return the samples by name and label."""
    text = httpx.get(stack.place.url("exporter"), timeout=10, trust_env=False).text
    return {
        (sample.name, "".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_exporter_sees_every_worker_and_beat(stack: Stack) -> None:
    assert stack.started["addresses"]["exporter"] == stack.place.url("exporter")
    found = page(stack)
    assert found["celery_exporter_redis_up", ""] == 1
    assert {name: found["celery_active_consumer_count", name] for name in QUEUE_NAMES} == dict.fromkeys(QUEUE_NAMES, 1)
    limits = {name: found["celery_group_time_limit_seconds", name] for name in GROUPS}
    assert limits == {name: group.time_limit for name, group in GROUPS.items()}
    assert found["celery_broker_aof_enabled", ""] == 1
    assert [label for name, label in found if name == "celery_beat_schedule_overdue_seconds"], "beat has a schedule"
    # A beat that an earlier test has ended waits for the old lock's end.
    until(lambda: page(stack)["celery_beat_lock_held", ""] == 1, 30, "a beat holds the lock")


def test_a_task_that_runs_is_work(stack: Stack) -> None:
    stack.send("tasks.faults.sleep", 8, options=("--no-wait", "--queue", "report"))
    until(lambda: page(stack)["celery_group_work", "report"] == 1, 10, "the task is work")
    until(lambda: page(stack)["celery_group_work", "report"] == 0, 20, "it is no more")
