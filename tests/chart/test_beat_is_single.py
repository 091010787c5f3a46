"""One beat ticks, exactly one, and nothing can be set that makes it two."""

from __future__ import annotations

import re

from tests.support.helm import CHART, PREFIX, Objects, refusal, render

BEAT = f"{PREFIX}-beat"


def test_there_is_one_and_never_two_during_a_rollout(objects: Objects) -> None:
    beat = objects["Deployment", BEAT]
    assert beat["spec"]["replicas"] == 1
    assert beat["spec"]["strategy"] == {"type": "Recreate"}


def test_the_one_is_written_into_the_template() -> None:
    template = (CHART / "templates" / "beat" / "deployment.yaml").read_text(encoding="utf-8")
    assert re.findall(r"^ *replicas: .*$", template, re.MULTILINE) == ["  replicas: 1"]


def test_replicas_are_no_setting() -> None:
    assert "additional properties 'replicas' not allowed" in refusal({"beat": {"replicas": 2}})


def test_no_autoscaler_and_no_budget_has_to_do_with_it(objects: Objects) -> None:
    scaled = {
        thing["spec"]["scaleTargetRef"]["name"]
        for thing in objects.of("HorizontalPodAutoscaler", "ScaledObject").values()
    }
    assert BEAT not in scaled
    assert BEAT not in objects.of("PodDisruptionBudget")


def test_no_worker_ticks(objects: Objects) -> None:
    for group in objects.groups:
        command = objects.worker(group)["spec"]["template"]["spec"]["containers"][0]["command"]
        assert not {"-B", "--beat"} & set(command), group


def test_it_can_be_left_out() -> None:
    objects = render({"beat": {"enabled": False}})
    assert [name for _, name in objects if "beat" in name] == []
    assert "--beat" not in objects["Pod", f"{PREFIX}-test"]["spec"]["containers"][0]["command"]
