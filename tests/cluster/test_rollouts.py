"""Whatever is rolled out under load, every task that was accepted ends once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from app.queues import GROUPS
from tests.support.cluster import Release
from tests.support.load import Load
from tests.support.stack import until

# Seconds: longer than a worker's start, so that each task meets the rollout.
LONG = 12


@pytest.fixture(scope="module")
def release(releases: Callable[..., Release]) -> Release:
    release = releases()
    # All groups of the example, with two slots each.
    groups: dict[str, dict[str, object]] = {
        name: {"queues": list(group.queues), "concurrency": 2} for name, group in GROUPS.items()
    }
    groups["email"]["replicas"] = 2
    release.install({"workers": {"exampleGroups": groups}})
    return release


@pytest.mark.parametrize("group", GROUPS)
def test_a_rollout_ends_no_running_task(release: Release, group: str) -> None:
    ledger, deployment = f"rollout-{group}", release.workload(f"worker-{group}")
    old = {pod["metadata"]["name"] for pod in release.pods("worker", group)}
    sent = release.send("tasks.faults.sleep", LONG, ledger, count=4, queue=GROUPS[group].queues[0])
    until(lambda: release.started(ledger), 30, "a task runs")
    release.kube.kubectl("rollout", "restart", deployment)
    release.wait()
    release.agrees(ledger, sent, 120)
    assert not old & {pod["metadata"]["name"] for pod in release.pods("worker", group)}


def test_upgrade_and_rollback_under_load_lose_nothing_and_run_nothing_twice(release: Release) -> None:
    with Load(release, "upgrade") as load:
        before = _history(release)
        release.apply({**release.values, "app": {**release.values["app"], "logLevel": "warning"}})
        release.wait()
        release.kube.helm("rollback", release.name, str(before))
        release.wait()
    assert len(load.sent) > 10
    release.agrees("upgrade", load.sent, 120)


def test_a_new_broker_pod_loses_nothing_and_runs_nothing_twice(release: Release) -> None:
    sent = release.send("tasks.faults.sleep", LONG, "broker", count=8, queue="email")
    until(lambda: release.started("broker"), 30, "a task runs")
    release.kube.kubectl("delete", "pod", "celery-broker-0")
    release.wait()
    sent += release.send("tasks.faults.sleep", 0, "broker", count=4, queue="default")
    release.agrees("broker", sent, 180)


def test_uninstalling_keeps_the_queues_for_the_next_install(release: Release) -> None:
    kube = release.kube
    kube.kubectl("scale", release.workload("worker-default"), "--replicas=0")
    until(lambda: not kube.items("pods", **{"worker-group": "default"}), 60, "not even an ending worker is left")
    sent = release.send("tasks.faults.sleep", 0, "reinstalled", count=5, queue="default")
    kube.helm("uninstall", release.name, "--wait", "--timeout", "3m")
    assert kube.json("get", "persistentvolumeclaims")["items"]
    release.install(release.values)
    until(lambda: set(sent) <= release.ended("reinstalled"), 90, "the tasks of the release before are done")


def _history(release: Release) -> int:
    revisions = json.loads(release.kube.helm("history", release.name, "--output", "json"))
    return int(revisions[-1]["revision"])


@pytest.fixture(autouse=True)
def _nothing_restarts(release: Release) -> Iterator[None]:
    yield
    restarted = [
        pod["metadata"]["name"]
        for pod in [*release.pods("worker"), *release.pods("beat")]
        for container in pod["status"]["containerStatuses"]
        if container["restartCount"]
    ]
    assert restarted == [], "a worker or beat was restarted by its probes"
