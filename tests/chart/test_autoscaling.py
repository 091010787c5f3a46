"""Exactly one owns the number of workers: the values, an HPA, or KEDA, which counts work."""

from __future__ import annotations

from typing import Any

import pytest

from app.runtime.keys import Keys
from app.runtime.options import Options
from tests.support.helm import DEFAULTS, PREFIX, Objects, environment, render

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


@pytest.mark.parametrize("engine", ["hpa", "keda"])
def test_how_fast_pods_come_and_go_is_a_value_of_each_group(engine: str) -> None:
    slower = {"scaleDown": {"stabilizationWindowSeconds": 600}}
    objects = render(
        {
            "workers": {
                "defaults": {"autoscaling": {"engine": engine}},
                "groups": {"email": {"autoscaling": {"behavior": slower}}},
            }
        }
    )

    def behavior(group: str) -> Any:
        if engine == "hpa":
            return objects["HorizontalPodAutoscaler", f"{PREFIX}-worker-{group}"]["spec"]["behavior"]
        advanced = objects["ScaledObject", f"{PREFIX}-worker-{group}"]["spec"]["advanced"]
        return advanced["horizontalPodAutoscalerConfig"]["behavior"]

    default = DEFAULTS["workers"]["defaults"]["autoscaling"]["behavior"]
    assert behavior("default") == default
    assert behavior("email")["scaleDown"] == {**default["scaleDown"], "stabilizationWindowSeconds": 600}
    assert behavior("email")["scaleUp"] == default["scaleUp"]


def triggers(objects: Objects, group: str) -> dict[str, dict[str, Any]]:
    spec = objects["ScaledObject", f"{PREFIX}-worker-{group}"]["spec"]
    return {trigger["name"]: trigger for trigger in spec["triggers"]}


def test_work_is_what_waits_in_each_queue_and_what_workers_have_without_what_is_not_due() -> None:
    objects = render({"workers": {"groups": {"two": {"queues": ["mail", "push"], "autoscaling": {"engine": "keda"}}}}})
    keys = {name: trigger["metadata"]["listName"] for name, trigger in triggers(objects, "two").items()}
    assert keys == {
        "ready0": KEYS.waiting("mail")[0],
        "ready1": KEYS.waiting("push")[0],
        "inflight": KEYS.unacked("two"),
        "held": KEYS.held("two"),
    }
    formula = objects["ScaledObject", f"{PREFIX}-worker-two"]["spec"]["advanced"]["scalingModifiers"]
    assert formula["metricType"] == "AverageValue"
    assert formula["activationTarget"] == "0"
    for amounts, work in (
        ({"ready0": 3, "ready1": 4, "inflight": 12, "held": 10}, 9),
        ({"ready0": 0, "ready1": 0, "inflight": 10, "held": 10}, 1),
        ({"ready0": 0, "ready1": 0, "inflight": 0, "held": 0}, 0),
        ({"ready0": 0, "ready1": 0, "inflight": 2, "held": 0}, 2),
    ):
        # The formula is arithmetic with max and min, which Python writes as KEDA's language does.
        assert eval(formula["formula"], {"max": max, "min": min}, dict(amounts)) == work


def test_with_priorities_every_list_of_a_queue_counts() -> None:
    separators = (
        {"app": {"priorities": {"enabled": True}}},
        {"app": {"priorities": {"enabled": True, "separator": "::"}}},
    )
    for values in separators:
        objects = render({**values, "workers": {"groups": {"email": {"autoscaling": {"engine": "keda"}}}}})
        options = Options.from_environment(environment(objects.containers[f"{PREFIX}-worker-email/worker"]))
        keys = Keys(options.key_prefix, options.steps, options.priority_separator)
        found = triggers(objects, "email")
        assert [found[f"ready{i}"]["metadata"]["listName"] for i in range(4)] == list(keys.waiting("email"))
        formula = objects["ScaledObject", f"{PREFIX}-worker-email"]["spec"]["advanced"]["scalingModifiers"]["formula"]
        assert formula.startswith("max(ready0 + ready1 + ready2 + ready3 + inflight - held, ")


def test_by_latency_keda_reads_the_slots_that_the_exporter_works_out() -> None:
    objects = render(
        {
            "exporter": {"enabled": True},
            "workers": {
                "groups": {"email": {"concurrency": 3, "autoscaling": {"engine": "keda", "policy": "latency"}}}
            },
        }
    )
    spec = objects["ScaledObject", f"{PREFIX}-worker-email"]["spec"]
    assert "scalingModifiers" not in spec["advanced"]
    (trigger,) = spec["triggers"]
    service = objects["Service", f"{PREFIX}-exporter"]
    (port,) = service["spec"]["ports"]
    assert trigger["metricType"] == "AverageValue"
    assert trigger["metadata"] == {
        "url": f"http://{PREFIX}-exporter.tasks.svc:{port['port']}/metrics",
        "format": "prometheus",
        "valueLocation": 'celery_group_slots_wanted{group="email"}',
        "targetValue": "3",
        "activationTargetValue": "0",
    }
    assert spec["fallback"]["behavior"] == "currentReplicasIfHigher"
    assert objects.of("TriggerAuthentication") == {}


def test_an_hpa_goes_by_what_the_values_say() -> None:
    queue = {
        "type": "External",
        "external": {"metric": {"name": "celery_group_work"}, "target": {"type": "AverageValue", "averageValue": "4"}},
    }
    name = f"{PREFIX}-worker-email"
    both = scaled(engine="hpa", metrics=[queue])["HorizontalPodAutoscaler", name]["spec"]["metrics"]
    assert [metric["type"] for metric in both] == ["Resource", "External"]
    alone = scaled(engine="hpa", metrics=[queue], targetCPUUtilizationPercentage=0)
    assert alone["HorizontalPodAutoscaler", name]["spec"]["metrics"] == [queue]


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
