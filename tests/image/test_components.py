"""Each component runs from the one image under the restrictions of its pod, and ends in order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from app.queues import GROUPS
from scripts.stack.processes import worker_command, worker_environment
from tests.image.containers import HARDENED, Container, Network, docker

GROUP = GROUPS["default"]
WORKER = ("python", *worker_command(GROUP)[1:])
READY = ("python", "-m", "app.runtime.health", "worker", "--ready")


@contextmanager
def worker(network: Network, image: str, settings: dict[str, str]) -> Iterator[Container]:
    environment = {**settings, **worker_environment(GROUP, "/run/celery"), "FAULT_TASKS": "true"}
    with network.running(image, *WORKER, environment=environment) as container:
        container.wait_until("the worker is ready", lambda: container.succeeds(*READY))
        yield container


def answers(container: Container, port: str, path: str) -> bool:
    try:
        address = docker("port", container.id, port).splitlines()[0]
        return httpx.get(f"http://{address}{path}", timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def published(port: str) -> tuple[str, ...]:
    return (*HARDENED, "--publish", f"127.0.0.1::{port}")


def test_a_worker_does_a_task_that_a_producer_sends(network: Network, image: str, settings: dict[str, str]) -> None:
    with worker(network, image, settings):
        sent = network.run(image, "python", "-m", "app.producer", "tasks.check_status", "--json", environment=settings)
    assert json.loads(sent)["states"] == {"SUCCESS": 1}


def test_an_idle_worker_ends_within_seconds_of_a_sigterm(
    network: Network, image: str, settings: dict[str, str]
) -> None:
    with worker(network, image, settings) as container:
        assert "celery" in docker("top", container.id, "-o", "pid,args").splitlines()[1]
        code, seconds = container.stop(20)
    assert (code, seconds < 10) == (0, True), seconds


def test_a_busy_worker_finishes_its_task_after_a_sigterm(
    network: Network, image: str, settings: dict[str, str]
) -> None:
    send = ("python", "-m", "app.producer", "tasks.faults.sleep", "--args", "[4]", "--no-wait", "--json")
    client = {**settings, "FAULT_TASKS": "true"}
    with worker(network, image, settings) as container:
        task_id = json.loads(network.run(image, *send, environment=client))["task_ids"][0]
        container.wait_until("the task runs", lambda: task_id in container.logs())
        code, _ = container.stop(30)
    assert code == 0
    look = f"from app.celery_app import app; print(app.AsyncResult({task_id!r}).state)"
    assert network.run(image, "python", "-c", look, environment=settings) == "SUCCESS"


def test_beat_ticks_and_ends(network: Network, image: str, settings: dict[str, str]) -> None:
    beat = ("celery", "-A", "app.celery_app", "beat", "--loglevel", "INFO")
    healthy = ("python", "-m", "app.runtime.health", "beat")
    with network.running(image, *beat, environment=settings) as container:
        container.wait_until("beat ticks", lambda: container.succeeds(*healthy))
        assert container.stop(20)[0] == 0


def test_flower_answers_and_ends(network: Network, image: str, settings: dict[str, str]) -> None:
    flower = ("celery", "-A", "app.celery_app", "flower", "--address=0.0.0.0", "--port=5555")
    with network.running(image, *flower, options=published("5555"), environment=settings) as container:
        container.wait_until("Flower answers", lambda: answers(container, "5555", "/healthcheck"))
        assert container.stop(20)[0] == 0


def test_the_exporter_answers_and_ends(network: Network, image: str, settings: dict[str, str]) -> None:
    groups = {**settings, "EXPORTER_GROUPS": '{"email": {"queues": ["email"], "slots": 2, "waitSeconds": 5}}'}
    with network.running(
        image, "python", "-m", "app.exporter", options=published("9808"), environment=groups
    ) as container:
        container.wait_until("the exporter answers", lambda: answers(container, "9808", "/metrics"))
        assert container.stop(20)[0] == 0


def test_the_api_answers_and_ends(network: Network, image: str, settings: dict[str, str]) -> None:
    api = ("python", "-m", "uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "8000", "--no-access-log")
    with network.running(image, *api, options=published("8000"), environment=settings) as container:
        container.wait_until("the API answers", lambda: answers(container, "8000", "/healthz"))
        assert container.stop(20)[0] == 0


def test_without_a_command_it_says_what_tasks_there_are(network: Network, image: str) -> None:
    assert "tasks.check_status" in network.run(image)


def test_the_health_command_says_that_nothing_lives(network: Network, image: str) -> None:
    with pytest.raises(AssertionError, match="has not touched /run/celery/alive"):
        network.run(image, "python", "-m", "app.runtime.health", "worker")
