"""Exactly one owns the number of workers: the values, an HPA, or KEDA, which counts work."""

from __future__ import annotations

from typing import Any

import pytest

from app.runtime.keys import Keys
from tests.support.helm import PREFIX, Objects, render

# The release's prefix: its namespace and the name of its objects.
KEYS = Keys(f"tasks:{PREFIX}:")


def scaled(group: str = "email", **autoscaling: Any) -> Objects:
    return render({"workers": {"groups": {group: {"autoscaling": autoscaling}}}})


def test_no_workload_has_both_replicas_and_an_autoscaler(objects: Objects) -> None:
    targets = [
        thing["spec"]["scaleTargetRef"]["name"]
        for thing in objects.of("HorizontalPodAutoscaler", "ScaledObject").values()
    ]
    assert len(targets) == len(set(targets)), "two autoscalers of one workload"
    for name, workload in objects.workloads.items():
        assert ("replicas" in workload["spec"]) != (name in targets), name


def test_by_default_nothing_is_scaled() -> None:
    objects = render()
    assert objects.of("HorizontalPodAutoscaler", "ScaledObject", "TriggerAuthentication") == {}
    assert objects.worker("email")["spec"]["replicas"] == 1


def test_an_engine_brings_its_own_objects_and_no_others() -> None:
    name = f"{PREFIX}-worker-email"
    hpa = scaled(engine="hpa", minReplicas=2, maxReplicas=9, targetCPUUtilizationPercentage=70)
    assert set(hpa.of("HorizontalPodAutoscaler")) == {name}
    assert hpa.of("ScaledObject", "TriggerAuthentication") == {}
    spec = hpa["HorizontalPodAutoscaler", name]["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 9)
    assert spec["metrics"][0]["resource"]["target"] == {"type": "Utilization", "averageUtilization": 70}
    keda = scaled(engine="keda")
    assert set(keda.of("ScaledObject")) == set(keda.of("TriggerAuthentication")) == {name}
    assert keda.of("HorizontalPodAutoscaler") == {}


def test_workers_come_at_once_and_go_slowly(everything: Objects) -> None:
    behaviors = [
        *(
            thing["spec"]["advanced"]["horizontalPodAutoscalerConfig"]
            for thing in everything.of("ScaledObject").values()
        ),
        everything["HorizontalPodAutoscaler", f"{PREFIX}-worker-high"]["spec"],
    ]
    for item in behaviors:
        assert item["behavior"]["scaleUp"]["stabilizationWindowSeconds"] == 0
        assert item["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 300
        assert item["behavior"]["scaleDown"]["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 60}]


def test_work_is_what_waits_in_each_queue_and_what_runs() -> None:
    objects = render({"workers": {"groups": {"two": {"queues": ["mail", "push"], "autoscaling": {"engine": "keda"}}}}})
    spec = objects["ScaledObject", f"{PREFIX}-worker-two"]["spec"]
    triggers = {trigger["name"]: trigger for trigger in spec["triggers"]}
    keys = {name: trigger["metadata"]["listName"] for name, trigger in triggers.items()}
    assert keys == {
        "ready0": KEYS.waiting("mail"),
        "ready1": KEYS.waiting("push"),
        "inflight": KEYS.unacked("two"),
    }
    formula = spec["advanced"]["scalingModifiers"]
    assert sorted(formula["formula"].split(" + ")) == sorted(keys)
    assert formula["metricType"] == "AverageValue"
    assert formula["activationTarget"] == "0"


def test_the_scaler_reads_the_database_and_the_prefix_that_the_workers_use() -> None:
    objects = render(
        {
            "broker": {"keyPrefix": "shop:", "databases": {"broker": 7}},
            "workers": {"defaults": {"autoscaling": {"engine": "keda"}}},
        }
    )
    for group in objects.groups:
        env = {item["name"]: item.get("value") for item in objects.containers[f"{PREFIX}-worker-{group}/worker"]["env"]}
        assert env["CELERY_KEY_PREFIX"] == "shop:"
        assert env["CELERY_BROKER_URL"].endswith(":6379/7")
        for trigger in objects["ScaledObject", f"{PREFIX}-worker-{group}"]["spec"]["triggers"]:
            assert trigger["metadata"]["databaseIndex"] == "7"
            assert trigger["metadata"]["listName"].startswith("shop:")


@pytest.mark.parametrize(
    ("group", "target"),
    [
        ({"concurrency": 8}, "8"),
        ({"concurrency": 8, "autoscaling": {"targetUtilisationPercent": 50}}, "4"),
        ({"concurrency": 1, "autoscaling": {"targetUtilisationPercent": 50}}, "1"),
        ({"concurrency": 1, "pool": "solo", "unboundedPool": True}, "1"),
    ],
    ids=str,
)
def test_a_pod_is_for_as_many_tasks_as_it_has_slots(group: dict[str, Any], target: str) -> None:
    values = {"workers": {"defaults": {"autoscaling": {"engine": "keda"}}, "groups": {"email": group}}}
    spec = render(values)["ScaledObject", f"{PREFIX}-worker-email"]["spec"]
    assert spec["advanced"]["scalingModifiers"]["target"] == target


def test_a_broker_that_cannot_be_read_takes_no_worker_away() -> None:
    for minimum, kept in ((0, 1), (3, 3)):
        spec = scaled(engine="keda", minReplicas=minimum)["ScaledObject", f"{PREFIX}-worker-email"]["spec"]
        assert spec["minReplicaCount"] == minimum
        assert spec["fallback"] == {"failureThreshold": 3, "replicas": kept, "behavior": "currentReplicasIfHigher"}


def test_the_scaler_logs_in_as_itself_with_the_secret_of_the_broker() -> None:
    objects = scaled(engine="keda")
    (reference,) = objects["TriggerAuthentication", f"{PREFIX}-worker-email"]["spec"]["secretTargetRef"]
    assert reference == {"parameter": "password", "name": PREFIX, "key": "scaler-password"}
    for trigger in objects["ScaledObject", f"{PREFIX}-worker-email"]["spec"]["triggers"]:
        assert trigger["metadata"]["username"] == "scaler"
        assert trigger["authenticationRef"] == {"name": f"{PREFIX}-worker-email"}


def test_the_api_scales_by_cpu() -> None:
    objects = render({"api": {"autoscaling": {"enabled": True, "maxReplicas": 9}}})
    spec = objects["HorizontalPodAutoscaler", f"{PREFIX}-api"]["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 9)
    assert "replicas" not in objects["Deployment", f"{PREFIX}-api"]["spec"]
