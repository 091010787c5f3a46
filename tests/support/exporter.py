"""The exporter of a test, the broker that workers would have written for it, and the page that it makes of that."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from redis import Redis

from app.exporter.collector import BrokerCollector
from app.exporter.config import Settings
from app.runtime.keys import Keys
from scripts.ports import free_port
from scripts.versions import ROOT
from tests.support.stack import until

GROUPS = {
    "email": {"queues": ["email"], "slots": 2, "waitSeconds": 5, "objectiveSeconds": 60, "limitSeconds": 600},
    "both": {"queues": ["mail", "push"], "slots": 4, "waitSeconds": 10},
}
PREFIX = "shop:"

Page = dict[str, float]


class Clock:
    """Seconds that go on when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def environment(url: str, **more: str) -> dict[str, str]:
    own = {"CELERY_BROKER_URL": url, "CELERY_KEY_PREFIX": PREFIX, "EXPORTER_GROUPS": json.dumps(GROUPS)}
    return own | more


def collector(url: str, clock: Clock | None = None, **more: str) -> BrokerCollector:
    return BrokerCollector(Settings.from_environment(environment(url, **more)), clock or Clock())


def page(source: BrokerCollector) -> Page:
    """Return the samples by `name{label=value}`."""
    return {
        sample.name + "".join(f"{{{key}={value}}}" for key, value in sample.labels.items()): sample.value
        for family in source.collect()
        for sample in family.samples
    }


def later(source: BrokerCollector, clock: Clock, seconds: float = 5.0) -> Page:
    """Return the samples of a reading `seconds` after the last one."""
    clock.now += seconds
    return page(source)


def hold(client: Redis, group: str, tags: list[str], eta: float | None = None) -> None:
    """Write what a worker that holds messages does: kombu's hash, and the runtime's set of those with an eta."""
    keys = Keys(PREFIX)
    client.hset(keys.unacked(group), mapping=dict.fromkeys(tags, "[]"))
    if eta is not None:
        client.zadd(keys.held(group), dict.fromkeys(tags, eta))


def serve(client: Redis, group: str, tasks: int, seconds: float) -> None:
    """Write what workers do after `tasks` that took so many seconds in all."""
    client.hincrby(Keys(PREFIX).served(group), "tasks", tasks)
    client.hincrbyfloat(Keys(PREFIX).served(group), "seconds", seconds)


def fill(client: Redis, queue: str, count: int) -> None:
    client.lpush(Keys(PREFIX).waiting(queue)[0], *["{}"] * count)


def calls(client: Redis) -> dict[str, int]:
    """Return how often each command ran since the server's start."""
    return {name.removeprefix("cmdstat_"): told["calls"] for name, told in client.info("commandstats").items()}


@contextmanager
def exporter(**variables: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the exporter on a free port; yield the process and the page's address."""
    port = str(free_port())
    process = subprocess.Popen(
        [sys.executable, "-m", "app.exporter"],
        cwd=ROOT,
        env=os.environ | {"EXPORTER_PORT": port} | variables,
        stderr=subprocess.PIPE,
        text=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        until(lambda: process.poll() is not None or answers(address), 20, "the exporter answers")
        yield process, address
    finally:
        process.kill()
        process.communicate(timeout=20)


def answers(address: str, path: str = "/metrics?name[]=celery_exporter_up") -> bool:
    try:
        return httpx.get(f"{address}{path}").status_code == 200
    except httpx.TransportError:
        return False


def that_scale(found: Page) -> list[str]:
    """Return the names of the samples by which an autoscaler goes."""
    return [name for name in found if name.startswith(("celery_group_work", "celery_group_slots_wanted"))]
