"""The chart runs an application that shares no code with this project, given its image and its name."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from scripts import image
from tests.cluster.conftest import carry
from tests.cluster.tiny.image import TINY
from tests.support.cluster import Cluster, Release

SEND = """
import json, tiny
results = [tiny.add.delay(number, 1) for number in range(20)]
print(json.dumps([result.get(timeout=60) for result in results]))
"""


@pytest.fixture(scope="module")
def release(cluster: Cluster, shell: dict[str, str], releases: Callable[..., Release]) -> Release:
    reference = image.build(TINY)[0]
    carry(reference, shell)
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
