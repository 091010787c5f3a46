"""The chart runs an application that shares no code with this project, given its image and its name."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import pytest

from scripts import image
from tests.cluster.conftest import carry
from tests.cluster.tiny.image import TINY
from tests.support.cluster import Cluster, Release
from tests.support.stack import until

SEND = """
import json, tiny
results = [tiny.add.delay(number, 1) for number in range(20)]
print(json.dumps([result.get(timeout=60) for result in results]))
"""


@pytest.fixture(scope="module")
def release(cluster: Cluster, shell: dict[str, str], releases: Callable[..., Release]) -> Release:
    reference = os.environ.get("TINY_IMAGE") or image.build(TINY)[0]
    carry(shell, reference)
    repository, _, tag = reference.rpartition(":")
    release = releases()
    # Everything else is the chart's default.
    release.apply({"image": {"repository": repository, "tag": tag}, "app": {"module": "tiny"}})
    release.wait()
    release.start_producer()
    return release


def test_it_has_one_group_on_celerys_own_queue_and_no_example(release: Release) -> None:
    names = {item["metadata"]["name"] for item in release.kube.items("deployments")}
    assert names == {"celery-worker-default", "celery-beat", "celery-flower"}


def test_helm_test_sends_a_task_through_its_queue(release: Release) -> None:
    assert "ok    queue celery of group default" in release.smoke()


def test_its_tasks_run(release: Release) -> None:
    assert json.loads(release.execute(release.producer, "python", "-c", SEND)) == list(range(1, 21))


def test_an_application_that_installs_the_runtime_says_so_and_gets_it(releases: Callable[..., Release]) -> None:
    # The example under another name: to the chart somebody's own application.
    release = releases("own-celery")
    app = {"module": "app.celery_app:app", "runtime": "installed"}
    groups = {"default": {"queues": ["default"], "timeLimitSeconds": 120}}
    release.apply({"app": app, "workers": {"groups": groups}, "flower": {"enabled": False}})
    release.wait()
    assert {item["metadata"]["name"] for item in release.kube.items("deployments")} == {
        "own-celery-worker-default",
        "own-celery-beat",
    }
    log = release.smoke()
    assert "ok    queue default of group default" in log
    assert "ok    beat" in log
    release.kube.helm("uninstall", release.name, "--wait")


def test_a_worker_that_is_told_to_end_while_it_starts_ends(release: Release) -> None:
    """Process 1 gets no signal that it has no handler for yet; such a pod would work on until it is killed."""
    kube = release.kube
    old = {pod["metadata"]["name"] for pod in release.pods("worker")}
    release.apply({**release.values, "workers": {"defaults": {"env": {"IMPORT_SECONDS": "8"}}}})

    def importing() -> str:
        pods = [pod for pod in release.pods("worker") if pod["metadata"]["name"] not in old]
        states = [(pod, status) for pod in pods for status in pod.get("status", {}).get("containerStatuses", [])]
        return next((pod["metadata"]["name"] for pod, status in states if "running" in status["state"]), "")

    name = until(importing, 60, "the next worker imports its tasks")
    kube.kubectl("delete", "pod", name, "--wait=false")
    until(lambda: not kube.kubectl("get", "pod", name, "--ignore-not-found"), 60, "the worker is gone")
