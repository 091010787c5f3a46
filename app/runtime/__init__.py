"""What makes any Celery application operable: `install(app, Options(...))`, and nothing of the example.

See `docs/runtime.md` for what it does, the calls that are stable, and what a foreign producer must share.
"""

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.signals import before_task_publish, worker_init

from app.runtime import limits, options, servers, tracing, transport
from app.runtime.options import Options
from app.runtime.servers import Access
from app.runtime.steps import consumer_step

__all__ = ["Access", "Options", "install"]


def install(app: Celery, choice: Options | None = None) -> None:
    """Make `app` operable as `choice` says (default: `Options()`); call it once, before tasks are sent or run.

    Sets the delivery settings, uses the leased transport for Redis URLs, hooks into the worker's consumer, and checks
    limits. Makes no connection. `app.conf.broker_url` must be set. Raises ValueError when it names no Redis.
    """
    choice = choice or Options()
    servers.check(str(app.conf.broker_url), choice.access)
    transport.register()
    if app.conf.task_time_limit is None:
        app.conf.task_time_limit = choice.time_limit
    app.conf.update(options.settings(choice, app))
    app.redbeat_redis = options.schedule_client(choice, app)
    app.Task.default_retry_delay = choice.retry_delay
    limits.refuse_far_eta(app, choice.max_eta)
    before_task_publish.connect(limits.stamp(app), weak=False)
    app.steps["consumer"].add(consumer_step(choice))
    app.conf.runtime = choice

    def check(sender: Any = None, **_: Any) -> None:
        if choice.queues and sender.app is app:
            app.amqp.queues.select(choice.queues)
        limits.refuse_worker(app, choice, sender.pool_cls.__module__.rpartition(".")[2])

    worker_init.connect(check, weak=False)
    tracing.install(app, choice.group)
