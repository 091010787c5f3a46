"""The one Celery application: settings + queues + schedule + runtime, nothing else."""

from __future__ import annotations

from celery import Celery

from app.client import access
from app.config import Settings, settings
from app.queues import DEFAULT_QUEUE, GROUPS, QUEUES, ROUTES
from app.runtime import Options, install, logs
from app.runtime.keys import SEPARATOR
from app.schedule import SCHEDULE

TASK_MODULES = (
    "app.tasks.billing",
    "app.tasks.email",
    "app.tasks.failure",
    "app.tasks.fetch",
    "app.tasks.high_priority",
    "app.tasks.maintenance",
    "app.tasks.orders",
    "app.tasks.report",
)


def create(settings: Settings) -> Celery:
    """Return a Celery application for `settings`, with the runtime installed and no connection made."""
    app = Celery("app", include=[*TASK_MODULES, *(["app.tasks.faults"] if settings.fault_tasks else [])])
    app.conf.update(
        broker_url=settings.broker_url,
        result_backend=settings.result_backend,
        # JSON only: pickle in a message is code execution for whoever can write to Redis.
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        result_accept_content=["json"],
        timezone="Asia/Shanghai",
        enable_utc=True,
        task_queues=QUEUES,
        task_default_queue=DEFAULT_QUEUE,
        task_routes=ROUTES,
        # A typo in a queue's name must fail at the publisher, not fill a list that nobody reads.
        task_create_missing_queues=False,
        worker_concurrency=settings.concurrency,
        worker_send_task_events=settings.task_events,
        task_send_sent_event=settings.task_events,
        task_time_limit=settings.time_limit,
        task_soft_time_limit=settings.soft_time_limit,
        result_expires=settings.result_expires,
        beat_schedule=SCHEDULE,
    )
    install(app, runtime_options(settings))
    logs.install(settings.log_level, settings.log_format, settings.worker_group)
    return app


def runtime_options(settings: Settings) -> Options:
    """Return what the runtime needs to know of `settings`."""
    return Options(
        group=settings.worker_group,
        queues=GROUPS[settings.worker_group].queues if settings.worker_group else (),
        lease=settings.lease,
        max_eta=settings.max_eta,
        socket_timeout=settings.socket_timeout,
        key_prefix=settings.key_prefix,
        access=access(settings),
        heartbeat_dir=settings.heartbeat_dir,
        reconnect_limit=settings.reconnect_limit,
        beat_lock=settings.beat_lock,
        priorities=settings.priorities,
        priority_separator=settings.priority_separator or SEPARATOR,
        soft_shutdown=settings.soft_shutdown,
        deletion_cost=settings.deletion_cost,
        unbounded_pool=settings.unbounded_pool,
        metrics_port=settings.metrics_port,
        metrics_host=settings.metrics_host,
    )


app = create(settings)
