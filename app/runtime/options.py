"""Runtime: what an application may choose about its delivery, with the reason for each default.

Sources of the measured facts: the project's reliability notes; the tests under `tests/faults` repeat them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from celery import Celery
from redis import Redis

from app.runtime import servers
from app.runtime.keys import EVERY_QUEUE, SEPARATOR, Keys
from app.runtime.servers import Access

# Kombu keeps a list for each step and queue; without priorities one list keeps every look at a queue cheap.
PRIORITY_STEPS, NO_PRIORITIES = (0, 3, 6, 9), (0,)
# On Redis 0 is the most urgent, and a message without a priority would be that.
DEFAULT_PRIORITY = 6
EVERYWHERE = "0.0.0.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the runtime runs an application. Durations are seconds.

    group: the worker group of this process; empty for producers, beat, Flower and a development worker.
    queues: names of the queues that the group consumes; empty means every declared queue.
    lease: how long a worker may go unheard before others may run what it held.
    renew: False takes lease renewal away (only to show in a test what it is for).
    time_limit: seconds until a task is killed, where the application itself sets no `task_time_limit`.
    max_eta: the farthest eta or countdown a producer may ask for.
    socket_timeout: bound of one Redis command; None leaves it unbounded, and a half-open connection then hangs
        the worker until its heartbeat goes stale (only to show that in a test).
    key_prefix: put before every broker key.
    access: what broker, backend and schedule need beyond their URLs: the Sentinels' master, a certificate authority.
    heartbeat_dir: folder of the heartbeat files; empty means none.
    heartbeat_tolerance: the event loop may be silent this long before the worker counts as dead.
    reconnect_limit: reconnecting may take this long while Redis answers others, then the worker counts as dead.
    beat_lock: a beat that dies without a word blocks its successor this long.
    beat_loop: longest sleep between two looks at the schedule; never more than a third of the lock.
    retry_delay: default seconds between a task's attempts.
    kills: starts of one message that end in the death of its worker before it goes to the dead letters.
    priorities: each queue has a list for each of the priorities 0, 3, 6 and 9, and 0 is served first. Every producer
        and worker of the queues must agree.
    priority_separator: stands between a queue's name and its priority in Redis; part of no queue's name.
    soft_shutdown: a worker that is told to end waits this long for what runs, and gives the rest back to the queue;
        0 waits for the end of every task.
    deletion_cost: a worker keeps its pod's deletion cost up to date, so that scale-in takes idle pods first; its
        service account must be allowed to patch pods/status.
    unbounded_pool: allow pools that enforce no time limit (solo, threads, gevent).
    metrics_port: port of the page for Prometheus that a worker, a beat or the API serves; 0 means none, and nothing is
        counted.
    metrics_host: address that the page listens on.
    """

    group: str = ""
    queues: tuple[str, ...] = ()
    lease: float = 60.0
    renew: bool = True
    time_limit: int = 600
    max_eta: int = 86400
    socket_timeout: float | None = 10.0
    key_prefix: str = ""
    access: Access = field(default_factory=Access)
    heartbeat_dir: str = ""
    heartbeat_tolerance: float = 20.0
    reconnect_limit: float = 300.0
    beat_lock: float = 30.0
    beat_loop: float = 5.0
    retry_delay: int = 10
    kills: int = 3
    priorities: bool = False
    priority_separator: str = SEPARATOR
    soft_shutdown: float = 0.0
    deletion_cost: bool = False
    unbounded_pool: bool = False
    metrics_port: int = 0
    metrics_host: str = EVERYWHERE

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Options:
        """Return the options that the chart tells a process in `environment` (default: the process's).

        Raises ValueError for a variable whose value is no number.
        """
        env = os.environ if environment is None else environment
        numbers = {
            "lease": ("CELERY_LEASE_SECONDS", float),
            "time_limit": ("CELERY_TIME_LIMIT_SECONDS", int),
            "max_eta": ("CELERY_MAX_ETA_SECONDS", int),
            "beat_lock": ("CELERY_BEAT_LOCK_SECONDS", float),
            "soft_shutdown": ("CELERY_SOFT_SHUTDOWN_SECONDS", float),
            "metrics_port": ("CELERY_METRICS_PORT", int),
        }
        given: dict[str, Any] = {name: kind(env[key]) for name, (key, kind) in numbers.items() if env.get(key)}
        return cls(
            group=env.get("CELERY_WORKER_GROUP", ""),
            key_prefix=env.get("CELERY_KEY_PREFIX", ""),
            heartbeat_dir=env.get("CELERY_HEARTBEAT_DIR", ""),
            deletion_cost=_true(env.get("CELERY_POD_DELETION_COST")),
            unbounded_pool=_true(env.get("CELERY_UNBOUNDED_POOL")),
            metrics_host=env.get("CELERY_METRICS_HOST") or EVERYWHERE,
            priorities=_true(env.get("CELERY_PRIORITIES")),
            priority_separator=env.get("CELERY_PRIORITY_SEPARATOR") or SEPARATOR,
            access=Access(
                sentinel_master=env.get("CELERY_SENTINEL_MASTER", ""),
                sentinel_password=env.get("CELERY_SENTINEL_PASSWORD", ""),
                ca_file=env.get("CELERY_BROKER_CA_FILE", ""),
            ),
            **given,
        )

    @property
    def steps(self) -> tuple[int, ...]:
        """The priorities that have a list of their own."""
        return PRIORITY_STEPS if self.priorities else NO_PRIORITIES

    @property
    def renewal_interval(self) -> float:
        """A third of the lease: two renewals may fail before anybody may take the work."""
        return self.lease / 3


def _true(text: str | None) -> bool:
    return (text or "").lower() in ("true", "1", "yes")


def transport_options(options: Options) -> dict[str, Any]:
    """Return kombu's `broker_transport_options` for `options`."""
    group = options.group or EVERY_QUEUE
    keys = Keys()
    return {
        "visibility_timeout": options.lease,
        # Default is every tenth look at 10 s: up to 100 s before a dead worker's messages are seen.
        "unacked_restore_interval": min(10.0, max(1.0, options.lease / 6)),
        "unacked_restore_throttle": 1,
        # One sweep takes all that lapsed; the default of ten a sweep makes a large worker's death last minutes.
        "unacked_restore_limit": None,
        # Its own hash for each group: an exact count of its work, and no other client can take a running task.
        "unacked_key": keys.unacked(group),
        "unacked_index_key": keys.unacked_index(group),
        "unacked_mutex_key": keys.unacked_mutex(group),
        "unacked_mutex_expire": max(1, int(options.lease)),
        "held_key": keys.held(group),
        "global_keyprefix": options.key_prefix,
        "priority_steps": list(options.steps),
        "sep": options.priority_separator,
        # None of these is set by default, and a half-open connection then hangs worker and producer for good.
        "socket_timeout": options.socket_timeout,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 10,
    }


def schedule_client(options: Options, app: Celery) -> Redis:
    """Return RedBeat's client; it connects on its first command."""
    # Shorter than the lock, so that a hung Redis is noticed while the lock is still ours.
    timeouts = {"socket_timeout": 5, "socket_connect_timeout": 5, "socket_keepalive": True}
    return servers.connect(str(app.conf.broker_url), options.access, decode_responses=True, **timeouts)


def settings(options: Options, app: Celery) -> dict[str, Any]:
    """Return the Celery settings that `options` ask for; transport options of `app` that they don't name stay."""
    access, broker, backend = options.access, str(app.conf.broker_url), str(app.conf.result_backend or "")
    return {
        "broker_transport_options": {
            **(app.conf.broker_transport_options or {}),
            **transport_options(options),
            **servers.broker_options(broker, access),
        },
        # What a URL itself says about TLS wins over these.
        **({"broker_use_ssl": servers.tls(broker, access)} if servers.tls(broker, access) else {}),
        **({"redis_backend_use_ssl": servers.tls(backend, access)} if servers.tls(backend, access) else {}),
        # Pods start in any order.
        "broker_connection_retry_on_startup": True,
        # The default of 100 ends the worker after 46 min of outage.
        "broker_connection_max_retries": None,
        # A failover (READONLY) or a full Redis (OOM) otherwise ends the worker.
        "broker_channel_error_retry": True,
        # The message stays in Redis until the task has ended: what survives the death of a worker.
        "task_acks_late": True,
        **({"task_default_priority": DEFAULT_PRIORITY} if options.priorities else {}),
        # Bounded retries with a delay; reject_on_worker_lost ran a poison task 164 times in 40 s.
        "task_reject_on_worker_lost": False,
        "task_retry_on_worker_lost": True,
        # A worker holds what it runs and nothing more, so that LLEN is what waits.
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        # True loses the running task when Redis restarts and the results live in the same Redis.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # A redelivered task that has ended is not run again (2 runs without, 1 with).
        "worker_deduplicate_successful_tasks": True,
        "worker_soft_shutdown_timeout": options.soft_shutdown,
        # Leaks end with the child.
        "worker_max_tasks_per_child": 1000,
        "worker_detect_quorum_queues": False,
        "redis_socket_timeout": options.socket_timeout,
        "redis_socket_connect_timeout": 5,
        "redis_socket_keepalive": True,
        "redis_retry_on_timeout": True,
        "redis_backend_health_check_interval": 25,
        "result_backend_transport_options": {
            **(app.conf.result_backend_transport_options or {}),
            "global_keyprefix": options.key_prefix,
            **servers.backend_options(backend, access),
        },
        # A finished task must not fail because an idle connection to the backend was cut.
        "result_backend_always_retry": True,
        "result_backend_max_retries": 10,
        # An outage is the publisher's to hear about within seconds.
        "task_publish_retry_policy": {
            "max_retries": 3,
            "interval_start": 0.2,
            "interval_step": 0.5,
            "interval_max": 2,
        },
        "beat_scheduler": "app.runtime.beat:Scheduler",
        # A third at most: an idle beat must wake up to keep its lock.
        "beat_max_loop_interval": min(options.beat_loop, options.beat_lock / 3),
        # Only shown: `install` gives RedBeat its client. Celery masks no password in settings that it doesn't know.
        "redbeat_redis_url": servers.without_password(broker),
        "redbeat_redis_options": {},
        "redbeat_key_prefix": Keys(options.key_prefix).redbeat(),
        "redbeat_lock_timeout": options.beat_lock,
    }
