"""The owner of a number of pods may change while tasks run, and a group may choose not to wait for its tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.cluster import Release, merged
from tests.support.load import Load
from tests.support.stack import until

# Seconds: metrics-server and the HPA look every 15 s, one after the other.
SCALES_WITHIN = 150
SOFT = 5


@pytest.fixture(scope="module")
def release(releases: Callable[..., Release]) -> Release:
    release = releases()
    groups = {
        "high": {
            "queues": ["high"],
            "autoscaling": {"engine": "hpa", "maxReplicas": 3, "targetCPUUtilizationPercentage": 200},
        },
        "report": {"queues": ["report"], "timeLimitSeconds": 120, "softShutdownSeconds": SOFT},
        "email": {"queues": ["email"], "replicas": 3},
    }
    release.install({"workers": {"exampleGroups": groups}})
    return release


def wanted(release: Release, group: str) -> int:
    return int(release.kube.json("get", release.workload(f"worker-{group}"))["spec"]["replicas"])


def test_an_hpa_follows_the_cpu(release: Release) -> None:
    assert wanted(release, "high") == 1
    # No ledger: it holds less than what makes a CPU warm.
    with Load(release, "", ("high",), seconds=0, count=500) as load:
        until(lambda: wanted(release, "high") > 1, SCALES_WITHIN, "the HPA sees the CPU and adds pods")
    until(lambda: done(release, "high") == len(load.sent), 60, "all are done, each once")


def done(release: Release, group: str) -> int:
    """Return how many tasks the group's workers have ended since the installation."""
    code = (
        "import json; from app.celery_app import app; from app.runtime.clients import pooled; "
        "from app.runtime.keys import Keys\n"
        f"with pooled(app) as client: print(json.dumps(int(client.hget(Keys.of(app).served({group!r}), 'tasks') or 0)))"
    )
    return int(release.python(code))


def test_each_engine_takes_over_from_the_one_before_under_load(release: Release) -> None:
    keda: dict[str, Any] = {"engine": "keda", "minReplicas": 1, "maxReplicas": 3}
    # Back to a number of the values: Helm's server-side apply takes `replicas` from the autoscaler that goes.
    engines = (keda, {"engine": "hpa", "minReplicas": 2, "maxReplicas": 3}, {"engine": "none"})
    with Load(release, "engines") as load:
        for autoscaling in engines:
            group = {"workers": {"exampleGroups": {"email": {"autoscaling": autoscaling}}}}
            release.apply(merged(release.values, group))
            release.wait()
            minimum = autoscaling.get("minReplicas", 3)
            until(lambda minimum=minimum: wanted(release, "email") >= minimum, 60, f"{autoscaling} owns the number")
    owners = release.kube.items("scaledobjects,horizontalpodautoscalers", **{"worker-group": "email"})
    assert owners == [], "the last owner is the values"
    release.agrees("engines", load.sent, 120)


def test_a_group_with_a_soft_shutdown_leaves_its_node_and_runs_its_task_again(release: Release) -> None:
    sent = release.send("tasks.faults.sleep", 35, "soft", queue="report")
    until(lambda: release.started("soft"), 30, "it runs")
    (pod,) = release.pods("worker", "report")
    name = pod["metadata"]["name"]
    release.kube.kubectl("delete", "pod", name, "--wait=false")
    # Less than the task: nobody waits for its end.
    until(lambda: not release.kube.kubectl("get", "pod", name, "--ignore-not-found"), 25, "the pod is gone")
    until(lambda: len(release.runs("soft")) == 2, 30, "its successor has the task")
    release.agrees("soft", sent, 60, repeats=1)
