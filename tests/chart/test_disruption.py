"""A drain or a rollout kills no running task, and no drain waits for ever."""

from __future__ import annotations

import pytest

from tests.support.helm import PREFIX, Objects, container, render

SINGLETONS = {f"{PREFIX}-{name}" for name in ("broker", "beat", "flower", "exporter")}


def test_a_worker_has_the_time_of_its_longest_task_and_half_a_minute() -> None:
    objects = render({"workers": {"groups": {"report": {"timeLimitSeconds": 7200}, "email": {"timeLimitSeconds": 2}}}})
    seconds = {
        group: objects.worker(group)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        for group in objects.groups
    }
    assert seconds == {"report": 7230, "email": 32, "orders": 330, "default": 630, "high": 630}


def test_a_worker_that_hangs_is_not_given_that_time(everything: Objects) -> None:
    for group in everything.groups:
        probe = container(everything.worker(group), "worker")["livenessProbe"]
        assert probe["terminationGracePeriodSeconds"] == 15, group


def test_a_budget_lets_one_pod_of_a_group_go_and_singletons_have_none(objects: Objects) -> None:
    budgets = objects.of("PodDisruptionBudget")
    assert set(budgets) == set(objects.workloads) - SINGLETONS
    for name, budget in budgets.items():
        assert budget["spec"]["maxUnavailable"] == 1, name
        assert "minAvailable" not in budget["spec"], name
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow", name


def test_a_budget_takes_only_the_pods_that_it_is_named_after(objects: Objects) -> None:
    for name, budget in objects.of("PodDisruptionBudget").items():
        assert budget["spec"]["selector"] == objects["Deployment", name]["spec"]["selector"]


def test_budgets_can_be_left_out() -> None:
    assert render({"podDisruptionBudget": {"enabled": False}}).of("PodDisruptionBudget") == {}


@pytest.mark.parametrize("group", ["report"])
def test_autoscalers_of_nodes_leave_long_tasks_alone(everything: Objects, group: str) -> None:
    annotations = everything.worker(group)["spec"]["template"]["metadata"]["annotations"]
    assert annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"
    assert annotations["karpenter.sh/do-not-disrupt"] == "true"
    other = everything.worker("high")["spec"]["template"]["metadata"]["annotations"]
    assert not {"cluster-autoscaler.kubernetes.io/safe-to-evict", "karpenter.sh/do-not-disrupt"} & set(other)
