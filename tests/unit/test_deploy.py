"""Promise: `make deploy` says what is in the way before it changes anything, and waits for the right things."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scripts.deploy import addresses, environment, release, rollout
from scripts.refused import Refused


def test_an_environment_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(Refused, match=r"no environment 'staging': write ENV=kind or ENV=production") as refused:
        environment.load("staging")
    assert refused.value.code == 2


def test_an_environment_without_a_cluster_asks_for_one() -> None:
    with pytest.raises(Refused, match=r"bound to no cluster: write CONTEXT="):
        environment.load("production")
    assert environment.load("production", context="here").context == "here"


def test_a_values_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"no values file .*mine.yaml"):
        environment.load("kind", values=str(tmp_path / "mine.yaml"))


def test_values_of_ones_own_win_over_the_environments(tmp_path: Path) -> None:
    assert environment.load("kind").brings_its_image
    (tmp_path / "mine.yaml").write_text("image: {pullPolicy: Always}\n")
    assert not environment.load("kind", values=str(tmp_path / "mine.yaml")).brings_its_image


def test_monitoring_comes_with_an_environment_that_has_values_for_it() -> None:
    beside = environment.load("kind", namespace="shop").monitoring
    assert beside is not None
    assert (beside.release, beside.namespace, beside.chart.name) == ("monitoring", "shop", "monitoring")
    assert beside.brings_its_image, "what is built or pulled for the application's cluster is for its monitoring, too"
    assert environment.load("production", context="here").monitoring is None


def test_a_release_of_another_chart_is_left_alone() -> None:
    mine = environment.load("kind", namespace="shop")
    assert mine.monitoring is not None
    release.refuse_stranger(mine, "celery")
    release.refuse_stranger(mine.monitoring, "monitoring")
    with pytest.raises(
        Refused, match=r"monitoring in namespace shop is of the chart kube-prometheus-stack, .*NAMESPACE="
    ):
        release.refuse_stranger(mine.monitoring, "kube-prometheus-stack")
    with pytest.raises(Refused, match=r"celery in namespace shop is of the chart shop, .*helm uninstall celery"):
        release.refuse_stranger(mine, "shop")


def test_a_cluster_that_is_not_of_this_machine_has_no_port_here() -> None:
    assert addresses.mapped(environment.load("kind", context="elsewhere")) == {}


def deployment(**status: Any) -> dict[str, Any]:
    return {"kind": "Deployment", "metadata": {"name": "w", "generation": 2}, "spec": {"replicas": 2}, "status": status}


@pytest.mark.parametrize(
    ("status", "done"),
    [
        ({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2}, True),
        ({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2}, False),
        ({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "readyReplicas": 3}, False),
        ({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 1}, False),
        ({}, False),
    ],
)
def test_a_rollout_is_over_when_nothing_old_is_left_and_all_that_is_new_is_ready(
    status: dict[str, Any], done: bool
) -> None:
    assert rollout.rolled_out(deployment(**status)) is done


def pod(reason: str) -> dict[str, Any]:
    waiting = {"state": {"waiting": {"reason": reason, "message": "said the kubelet"}}}
    return {"metadata": {"name": "w-1"}, "status": {"containerStatuses": [waiting]}}


def test_a_pod_that_cannot_start_is_described_with_the_way_out() -> None:
    reason, sentence = rollout.troubled(pod("ImagePullBackOff"))
    assert reason == "ImagePullBackOff"
    assert "w-1" in sentence
    assert "check image.repository" in sentence
    assert "said the kubelet" in sentence
    assert rollout.troubled(pod("ContainerCreating")) == ("", "")


def test_helms_conflict_over_replicas_is_explained() -> None:
    said = 'conflict occurred: Apply failed with 1 conflict: conflict with "kubectl" using apps/v1: .spec.replicas'
    assert "--force-conflicts" in release._explained(said)
    assert release._explained("something else") == "something else"
