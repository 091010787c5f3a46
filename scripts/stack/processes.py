"""The stack's processes: the one description of what runs, with which environment, and how it shows that it is ready.

The supervisor's configuration, the readiness checks, the addresses that `up` prints and the tests are made from it.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from app.config import Settings
from app.queues import GROUPS, Group
from scripts import redis_server
from scripts.refused import Refused
from scripts.stack import prometheus
from scripts.stack.place import Place, page_of
from scripts.stack.process import Process, Ready

# What every worker is started with, here and in the chart. Mingle and gossip make a start slower the more workers
# there are; a heartbeat event every 10 s is all Flower needs.
WORKER_FLAGS = (
    "--without-gossip",
    "--without-mingle",
    "--heartbeat-interval",
    "10",
    "-O",
    "fair",
    "--loglevel",
    "INFO",
)
# Seconds between a group's time limit and the end of a worker's patience when it is stopped.
STOP_MARGIN = 30
# Seconds that a task may wait: the chart's targetWaitSeconds, and its waitObjectiveSeconds.
WAIT, OBJECTIVE = 5, 60


def describe(place: Place, environment: Mapping[str, str]) -> list[Process]:
    """Return the stack's processes in the order in which they start; the broker is the first and ends last.

    Settings of the application that stand in `environment` reach them, except what a stack decides by itself.
    Raises Refused when the machine has no Redis.
    """
    try:
        redis = redis_server.find()
    except LookupError as error:
        raise Refused(str(error)) from None
    settings = {**_overrides(environment), **place.client_settings()}
    # Another port or password of Redis changes what a process connects to, and not one word of its command.
    digest = hashlib.sha256(place.redis_url().encode()).hexdigest()[:16]
    settings["STACK_DIGEST"] = digest
    app = {**settings, "PYTHONUNBUFFERED": "1"}
    described = [
        Process(
            "broker", (redis, str(place.folder / "redis.conf")), Ready("redis"), {"STACK_DIGEST": digest}, ("broker",)
        ),
        Process(
            "sandbox",
            (
                *(sys.executable, "-m", "scripts.sandbox", "--host", "127.0.0.1"),
                *("--http-port", str(place.ports["sandbox"]), "--smtp-port", str(place.ports["smtp"])),
                *("--journal", str(place.folder / "sandbox.jsonl")),
            ),
            Ready("http", f"{place.url('sandbox')}/healthz"),
            ports=("sandbox", "smtp"),
        ),
        *(_worker(place, group, app) for group in GROUPS.values()),
        Process(
            "beat",
            _celery("beat", "--loglevel", "INFO"),
            Ready("file", str(place.heartbeat("beat") / "tick")),
            {**app, **_page(place, "beat"), "CELERY_HEARTBEAT_DIR": str(place.heartbeat("beat"))},
            (page_of("beat"),),
        ),
        Process(
            "api",
            (
                *(sys.executable, "-m", "uvicorn", "app.main:app", "--host", "127.0.0.1"),
                *("--port", str(place.ports["api"]), "--no-access-log"),
            ),
            Ready("http", f"{place.url('api')}/readyz"),
            {**app, **_page(place, "api")},
            ("api", page_of("api")),
        ),
        Process(
            "flower",
            _celery("flower", "--address=127.0.0.1", f"--port={place.ports['flower']}"),
            Ready("http", f"{place.url('flower')}/healthcheck"),
            {
                **app,
                # In the environment because an argument is readable by everybody on the machine.
                "FLOWER_BASIC_AUTH": ":".join(place.flower_login),
                "FLOWER_MAX_TASKS": "10000",
                "FLOWER_PURGE_OFFLINE_WORKERS": "300",
                "FLOWER_READ_ONLY": "true",
                "FLOWER_DB": str(place.folder / "flower.db"),
            },
            ("flower",),
        ),
        Process(
            "exporter",
            (sys.executable, "-m", "app.exporter"),
            Ready("http", f"{place.url('exporter')}/metrics?name[]=celery_exporter_up"),
            {
                **app,
                "EXPORTER_HOST": "127.0.0.1",
                "EXPORTER_PORT": str(place.ports["exporter"]),
                "EXPORTER_GROUPS": json.dumps(exporter_groups()),
            },
            ("exporter",),
        ),
    ]
    return [*described, *_prometheus(place, described)]


def _prometheus(place: Place, described: list[Process]) -> list[Process]:
    program = prometheus.program()
    if program is None:
        return []
    return [
        Process(
            "prometheus",
            prometheus.command(program, place.folder / "prometheus", place.ports["prometheus"]),
            Ready("http", f"{place.url('prometheus')}/-/ready"),
            {"CONFIGURATION": prometheus.digest(described)},
            ("prometheus",),
        )
    ]


def _page(place: Place, name: str) -> dict[str, str]:
    return {"CELERY_METRICS_PORT": str(place.page(name)), "CELERY_METRICS_HOST": "127.0.0.1"}


def exporter_groups() -> dict[str, dict[str, Any]]:
    """Return what the exporter must know of each worker group."""
    seconds = {"waitSeconds": WAIT, "objectiveSeconds": OBJECTIVE}
    return {
        name: {"queues": list(group.queues), "slots": group.concurrency, **seconds, "limitSeconds": group.time_limit}
        for name, group in GROUPS.items()
    }


def worker_environment(group: Group, heartbeat_dir: str) -> dict[str, str]:
    """Return the variables that make a worker one of `group`."""
    return {
        "CELERY_WORKER_GROUP": group.name,
        "CELERY_WORKER_CONCURRENCY": str(group.concurrency),
        "CELERY_TIME_LIMIT_SECONDS": str(group.time_limit),
        "CELERY_HEARTBEAT_DIR": heartbeat_dir,
    }


def worker_command(group: Group) -> tuple[str, ...]:
    """Return the command line of a worker of `group`; the chart's is the same with another interpreter."""
    name = ("-n", f"{group.name}@%h")
    return _celery(
        "worker", *name, "-Q", ",".join(group.queues), "-P", "prefork", "-c", str(group.concurrency), *WORKER_FLAGS
    )


def _worker(place: Place, group: Group, environment: Mapping[str, str]) -> Process:
    name = f"worker-{group.name}"
    folder = place.heartbeat(name)
    return Process(
        name,
        worker_command(group),
        Ready("file", str(folder / "ready")),
        {**environment, **_page(place, name), **worker_environment(group, str(folder))},
        (page_of(name),),
        stop_within=group.time_limit + STOP_MARGIN,
    )


def _celery(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "celery", "-A", "app.celery_app", *arguments)


def _overrides(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the application's settings in `environment` that a stack leaves to its user."""
    decided = {
        *("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "STORE_URL", "API_TOKEN", "SMTP_URL", "PAYMENT_GATEWAY_URL"),
        *("PAYMENT_GATEWAY_TOKEN", "NOTIFICATION_WEBHOOK_URL", "REPORTS_DIR", "CELERY_HEARTBEAT_DIR"),
        *("CELERY_WORKER_GROUP", "CELERY_WORKER_CONCURRENCY", "CELERY_TIME_LIMIT_SECONDS"),
        *("CELERY_METRICS_PORT", "CELERY_METRICS_HOST"),
    }
    names = {item.metadata["name"] for item in fields(Settings)} - decided
    # OpenTelemetry's variables are settings, too; each of its libraries reads its own.
    names |= {name for name in environment if name.startswith("OTEL_")}
    return {name: environment[name] for name in sorted(names) if name in environment}
