"""Producer and worker: limits that are refused with a sentence, before they can do harm."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from celery import Celery

from app.runtime.options import Options

# Celery's pools that can't end a task that runs too long.
UNBOUNDED_POOLS = ("solo", "thread", "gevent", "eventlet")


class EtaTooFar(ValueError):
    """A message's eta is farther away than a worker may hold it."""


def refuse_far_eta(app: Celery, max_eta: int) -> None:
    """Make `app` raise EtaTooFar when a task is sent with an eta or countdown of more than `max_eta` seconds."""
    send_task = app.send_task

    def checked(name: str, *args: Any, **options: Any) -> Any:
        seconds = _seconds_ahead(options.get("countdown"), options.get("eta"))
        if seconds > max_eta:
            raise EtaTooFar(
                f"{name} is to start in {seconds:.0f} s, and at most {max_eta} s are allowed: a worker holds such a "
                "message in memory all that time; use the beat schedule, or raise CELERY_MAX_ETA_SECONDS"
            )
        return send_task(name, *args, **options)

    app.send_task = checked


def stamp(app: Celery) -> Callable[..., None]:
    """Return a receiver of before_task_publish for messages of `app`.

    It notes the publish time, which messages don't carry, in unix seconds, and takes a time limit out that is no more
    than the publisher's own default: Celery writes that into every message, and a group with a shorter limit would
    refuse what nobody asked for. And it gives the default priority to tasks that are sent by name: Celery gives it to
    calls of a task only, and on Redis a message without one is the most urgent.
    """

    def receive(headers: dict[str, Any] | None = None, properties: dict[str, Any] | None = None, **_: Any) -> None:
        if properties is not None and properties.get("priority") is None:
            properties["priority"] = app.conf.task_default_priority
        if headers is not None:
            headers["enqueued_at"] = time.time()
            if headers.get("timelimit") == [app.conf.task_time_limit, app.conf.task_soft_time_limit]:
                headers["timelimit"] = [None, None]

    return receive


def refuse_worker(app: Celery, options: Options, pool: str) -> None:
    """End the process with code 2 and a sentence when a worker of `options` could not keep the limits it promises."""
    for problem in (*_long_tasks(app), *_pool_problem(options, pool)):
        print(problem, file=sys.stderr)
        raise SystemExit(2)


def _long_tasks(app: Celery) -> list[str]:
    allowed = app.conf.task_time_limit
    return [
        f"Task {name} has a time limit of {task.time_limit:g} s, and this group allows {allowed:g} s: "
        f"raise CELERY_TIME_LIMIT_SECONDS, lower the task's limit, or route it to another group."
        for name, task in sorted(app.tasks.items())
        if (task.time_limit or 0) > allowed and queue_of(app, name) in app.amqp.queues.consume_from
    ]


def _pool_problem(options: Options, pool: str) -> list[str]:
    if options.unbounded_pool or pool not in UNBOUNDED_POOLS:
        return []
    return [
        f"Pool {pool} enforces no time limit, so a hung task would hold its slot and its message for ever: "
        "use prefork, or set CELERY_UNBOUNDED_POOL=true if the tasks bound themselves."
    ]


def queue_of(app: Celery, name: str) -> str:
    """Return the queue to which a task is routed by its name."""
    queue = app.amqp.router.route({}, name).get("queue", app.conf.task_default_queue)
    return str(getattr(queue, "name", queue))


def unix_eta(eta: datetime | str | None) -> float:
    """Return an eta, as a message carries it, in unix seconds; 0 for none. Raises ValueError for no time."""
    if eta is None:
        return 0.0
    if isinstance(eta, str):
        eta = datetime.fromisoformat(eta)
    # A naive eta is UTC to Celery when enable_utc is on.
    return (eta if eta.tzinfo else eta.replace(tzinfo=UTC)).timestamp()


def _seconds_ahead(countdown: float | None, eta: datetime | str | None) -> float:
    return (countdown or 0.0) if eta is None else unix_eta(eta) - time.time()
