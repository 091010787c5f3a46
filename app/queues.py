"""Producer and worker side: the one list of queues, the worker groups that consume them, and the routes onto them.

Everything that names a queue (workers, chart, Compose, tests) reads it from here.
A queue belongs to exactly one group: two groups on one queue can't restore each other's work,
and both of their scalers would count it.
"""

from __future__ import annotations

from dataclasses import dataclass

from kombu import Exchange, Queue


@dataclass(frozen=True, slots=True)
class Group:
    """A worker group: the workers that share queues, one unacked hash and one scaler.

    name: key of the group in the chart's `workers.groups`.
    queues: names of the queues it alone consumes.
    concurrency: tasks one worker runs at a time.
    time_limit: seconds after which a task of this group is killed; no task routed here may ask for more.
    """

    name: str
    queues: tuple[str, ...]
    concurrency: int = 4
    time_limit: int = 600


GROUPS: dict[str, Group] = {
    group.name: group
    for group in (
        Group("default", ("default",)),
        # SMTP servers throttle by connection, so two at a time.
        Group("email", ("email",), concurrency=2),
        Group("report", ("report",)),
        Group("high", ("high",), concurrency=8),
        # process_order is rate limited, and a rate limit is per worker and blocks its whole queue
        # (four limited tasks held every slot of a worker for 20 s): its own queue, fixed replicas.
        Group("orders", ("high_priority",), time_limit=300),
    )
}

DEFAULT_QUEUE = "default"

ROUTES: dict[str, dict[str, str]] = {
    "tasks.email.*": {"queue": "email"},
    "tasks.report.*": {"queue": "report"},
    "tasks.weekly_report": {"queue": "report"},
    "tasks.high_priority.*": {"queue": "high"},
    "tasks.process_order": {"queue": "high_priority"},
}

QUEUES: tuple[Queue, ...] = tuple(
    Queue(name, Exchange(name, type="direct"), routing_key=name) for group in GROUPS.values() for name in group.queues
)
QUEUE_NAMES: tuple[str, ...] = tuple(queue.name for queue in QUEUES)


def group_of(queue: str) -> Group:
    """Return the group that consumes `queue`. Raises KeyError with the known names for an undeclared queue."""
    for group in GROUPS.values():
        if queue in group.queues:
            return group
    raise KeyError(f"queue {queue!r} is not declared; declared are {', '.join(QUEUE_NAMES)}")
