"""Promise: behind Sentinels, the death or the replacement of the master loses no task that its replica knew."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.runtime.servers import Access
from app.store import Store, connect
from tests.support.redis import Sentinels
from tests.support.release import Release

LEASE = "6"


@pytest.fixture
def sentinels(tmp_path: Path) -> Iterator[Sentinels]:
    sentinels = Sentinels(tmp_path / "sentinels")
    sentinels.start()
    yield sentinels
    sentinels.stop()


@pytest.fixture
def release(sentinels: Sentinels, tmp_path: Path) -> Iterator[Release]:
    urls = dict.fromkeys(("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "STORE_URL"), sentinels.url)
    release = Release(
        tmp_path / "release",
        {
            **urls,
            "CELERY_SENTINEL_MASTER": sentinels.MASTER,
            "CELERY_SENTINEL_PASSWORD": sentinels.PASSWORD,
            "CELERY_KEY_PREFIX": "shop:",
            "CELERY_LEASE_SECONDS": LEASE,
            "CELERY_BEAT_LOCK_SECONDS": "6",
        },
    )
    yield release
    release.close()


@pytest.fixture
def store(sentinels: Sentinels) -> Store:
    """The release's store, found as the release finds it."""
    access = Access(sentinel_master=sentinels.MASTER, sentinel_password=sentinels.PASSWORD)
    return connect(sentinels.url, "shop:", access=access, repeats=30)


def send(release: Release, seconds: float, name: str, *options: str) -> list[str]:
    arguments = json.dumps([seconds, name])
    out = release.run("-m", "app.producer", "tasks.faults.sleep", "--args", arguments, "--json", *options)
    return list(json.loads(out)["task_ids"])


def ends(store: Store, name: str) -> Counter[str]:
    return Counter(run["task_id"] for run in store.runs(name) if run["what"] == "end")


def starts(store: Store, name: str) -> int:
    return sum(run["what"] == "start" for run in store.runs(name))


def ticks(release: Release) -> int:
    return release.log("beat").count("Sending due task")


EVERY_SECOND = """
from celery.schedules import schedule
from redbeat import RedBeatSchedulerEntry
from app.celery_app import app
RedBeatSchedulerEntry("every-second", "tasks.check_status", schedule(1), app=app).save()
"""


@pytest.mark.timeout(240)
def test_the_master_dies_with_a_task_running_and_nothing_is_lost(
    sentinels: Sentinels, release: Release, store: Store
) -> None:
    worker, beat = release.worker(), release.beat()
    api = release.api()
    release.run("-c", EVERY_SECOND)
    release.until(lambda: ticks(release) > 0, 20, "beat ticks")
    running = send(release, 15, "running", "--no-wait")
    release.until(lambda: starts(store, "running") == 1, 20, "the task runs")
    waiting = send(release, 1, "waiting", "-n", "6", "--no-wait", "--queue", "report")
    assert sentinels.replicated()
    sentinels.master().kill()
    before = ticks(release)
    release.until(lambda: set(ends(store, "waiting")) == set(waiting), 90, "the waiting tasks are done")
    release.until(lambda: set(ends(store, "running")) == set(running), 60, "the task that ran is done")
    release.until(lambda: ticks(release) > before + 2, 60, "beat ticks on the new master")
    release.until(lambda: api.get("/readyz").status_code == 200, 30, "the API is ready")
    # Its worker lives: it ran on, and its end was noted on the new master.
    assert ends(store, "running") == {running[0]: 1}
    send(release, 0.1, "later")
    assert worker.poll() is None
    assert beat.poll() is None


@pytest.mark.timeout(240)
def test_a_master_that_becomes_a_replica_is_left_for_the_new_one(
    sentinels: Sentinels, release: Release, store: Store
) -> None:
    worker = release.worker()
    flower = release.flower()
    former = sentinels.master()
    # Longer than the hand-over: what is written to the former master during it is lost, an end's record, too.
    running = send(release, 25, "running", "--no-wait")
    release.until(lambda: starts(store, "running") == 1, 20, "the task runs")
    assert sentinels.replicated()
    sentinels.hand_over()
    release.until(lambda: sentinels.master() is not former, 60, "the Sentinels name another master")
    release.until(lambda: release.log("worker").count("Connected to sentinel") > 1, 60, "the worker follows")
    send(release, 0.1, "later")
    release.until(lambda: set(ends(store, "running")) == set(running), 60, "the task that ran is done")
    assert worker.poll() is None
    assert flower.get("/broker").status_code == 200
    assert flower.get("/api/queues/length").json()["active_queues"]


def test_the_passwords_stand_in_no_setting_that_a_worker_shows(release: Release, sentinels: Sentinels) -> None:
    release.worker()
    shown = release.run("-c", "from app.celery_app import app; print(app.control.inspect(timeout=3).conf())")
    assert "broker_transport_options" in shown
    assert sentinels.PASSWORD not in shown


def test_a_wrong_master_name_is_said_and_the_worker_goes_on_trying(release: Release) -> None:
    release.environment["CELERY_SENTINEL_MASTER"] = "another"
    worker = release.start("worker", "celery", "-A", "app.celery_app", "worker", "-c", "1", "--loglevel", "INFO")
    release.until(lambda: release.logged("worker", "CELERY_SENTINEL_MASTER"), 20, "the log names the setting")
    assert worker.poll() is None
    assert not release.ready("worker")
