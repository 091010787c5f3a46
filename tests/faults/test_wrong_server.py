"""Promise: of a server that can't work, a sentence says within seconds what to look at.

A Redis Cluster ends every process with code 2. What may yet become right is waited for, and a worker is not ready.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scripts.ports import free_port
from tests.support.redis import RedisServer
from tests.support.release import CELERY, Release

WORKER = (*CELERY, "worker", "-c", "1", "--without-mingle", "--without-gossip", "--loglevel", "INFO")
BEAT = (*CELERY, "beat", "--loglevel", "INFO")
PROCESSES = {"worker": WORKER, "beat": BEAT}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    started: list[RedisServer] = []

    def start(*arguments: str, login: tuple[str | None, str | None] = (None, None)) -> RedisServer:
        started.append(RedisServer(tmp_path / f"redis-{len(started)}", arguments=arguments, login=login))
        started[-1].start()
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def release(tmp_path: Path) -> Iterator[Callable[[str], Release]]:
    made: list[Release] = []

    def make(url: str) -> Release:
        urls = dict.fromkeys(("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "STORE_URL"), url)
        made.append(Release(tmp_path / f"release-{len(made)}", urls))
        return made[-1]

    yield make
    for one in made:
        one.close()


def api(release: Release) -> subprocess.Popen[bytes]:
    return release.start("api", "uvicorn", "app.main:app", "--host", "127.0.0.1", "--port", str(free_port()))


def cluster_node() -> tuple[str, ...]:
    """Return the options of a Redis Cluster's node; its own choice of a second port, 10000 higher, may be taken."""
    return ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))


@pytest.mark.parametrize("name", [*PROCESSES, "api"])
def test_a_redis_cluster_is_refused(
    server: Callable[..., RedisServer], release: Callable[[str], Release], name: str
) -> None:
    one = release(server(*cluster_node()).url)
    process = api(one) if name == "api" else one.start(name, *PROCESSES[name])
    assert process.wait(30) == 2, one.log(name)
    assert one.log(name).count("The broker is a Redis Cluster, which Celery can't use") == 1
    assert "Traceback" not in one.log(name)


def test_a_redis_cluster_that_comes_up_later_is_refused_then(
    server: Callable[..., RedisServer], release: Callable[[str], Release], tmp_path: Path
) -> None:
    cluster = RedisServer(tmp_path / "later", arguments=cluster_node())
    one = release(cluster.url)
    worker, beat = one.start("worker", *WORKER), one.start("beat", *BEAT)
    for name in PROCESSES:
        one.until(lambda name=name: one.logged(name, "look at host and port"), 20, f"{name} says so")
    cluster.start()
    try:
        assert worker.wait(40) == 2, one.log("worker")
        assert beat.wait(10) == 2, one.log("beat")
    finally:
        cluster.stop()


def test_a_wrong_password_is_said_and_mended_by_the_right_one(
    server: Callable[..., RedisServer], release: Callable[[str], Release]
) -> None:
    redis = server("--requirepass", "right", login=(None, "right"))
    one = release(redis.url.replace("://", "://:wrong@"))
    worker, beat = one.start("worker", *WORKER), one.start("beat", *BEAT)
    for name in PROCESSES:
        one.until(lambda name=name: one.logged(name, "refuses the user or the password"), 20, f"{name} says so")
        assert "CELERY_BROKER_URL" in one.log(name)
    # Celery tries again and again for the same reason; it is explained once.
    one.until(lambda: one.log("worker").count("Trying again") > 2, 30, "the worker tries again")
    assert one.log("worker").count("refuses the user or the password") == 1
    assert "wrong" not in one.log("worker") + one.log("beat")
    assert (worker.poll(), beat.poll()) == (None, None)
    assert not one.ready("worker")
    with redis.client() as admin:
        admin.config_set("requirepass", "wrong")
    one.until(lambda: one.ready("worker"), 60, "the worker is ready")
    one.until(lambda: one.logged("beat", "Acquired lock"), 20, "beat has the lock")


def test_an_unreachable_server_is_said_and_waited_for(release: Callable[[str], Release], tmp_path: Path) -> None:
    redis = RedisServer(tmp_path / "late")
    one = release(redis.url)
    worker, beat = one.start("worker", *WORKER), one.start("beat", *BEAT)
    for name in PROCESSES:
        one.until(lambda name=name: one.logged(name, "look at host and port"), 20, f"{name} says so")
    assert (worker.poll(), beat.poll()) == (None, None)
    assert not one.ready("worker")
    redis.start()
    try:
        one.until(lambda: one.ready("worker"), 60, "the worker is ready")
    finally:
        one.close()
        redis.stop()
