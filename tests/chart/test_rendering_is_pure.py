"""The same values are the same bytes; a pod restarts when something that it reads changes, and not otherwise."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.helm import CHART, EXAMPLES, PREFIX, Objects, render, text, values_of


def pod_templates(objects: Objects) -> dict[str, Any]:
    return {name: thing["spec"]["template"] for name, thing in {**objects.workloads, **objects.of("Job")}.items()}


@pytest.mark.parametrize("case", ["defaults", *EXAMPLES])
def test_rendering_twice_gives_the_same_bytes(case: str) -> None:
    assert text(values_of(case)) == text(values_of(case))


@pytest.mark.parametrize("case", ["defaults", *EXAMPLES])
def test_helm_3_renders_what_helm_4_renders(case: str) -> None:
    """But for the empty line at the end of an object, which Helm 4 keeps."""
    old, new = (text(values_of(case), helm=helm).split("\n---\n") for helm in ("helm3", "helm"))
    assert [part.rstrip("\n") for part in old] == [part.rstrip("\n") for part in new]


def test_a_new_version_of_the_chart_restarts_nothing(tmp_path: Path) -> None:
    newer = tmp_path / "celery"
    shutil.copytree(CHART, newer)
    about = (newer / "Chart.yaml").read_text(encoding="utf-8")
    (newer / "Chart.yaml").write_text(re.sub(r"(?m)^version: .*", "version: 9.9.9", about), encoding="utf-8")
    values = values_of("everything")
    old, new = render(values), render(values, chart=newer)
    assert new.text != old.text
    assert pod_templates(new) == pod_templates(old)


@pytest.mark.parametrize(
    ("values", "restarted"),
    [
        ({"broker": {"appendfsync": "always"}}, {"broker"}),
        ({"broker": {"maxclients": 5000}}, {"broker"}),
        ({"workers": {"groups": {"email": {"concurrency": 3}}}}, {"worker-email"}),
        ({"workers": {"groups": {"email": {"replicas": 3}}}}, set()),
        ({"workers": {"groups": {"email": {"autoscaling": {"engine": "keda"}}}}}, set()),
        ({"beat": {"lockSeconds": 60}}, {"beat"}),
        ({"flower": {"readOnly": False}}, {"flower"}),
        ({"networkPolicy": {"enabled": False}}, set()),
    ],
    ids=str,
)
def test_a_change_restarts_only_who_reads_it(values: dict[str, Any], restarted: set[str]) -> None:
    before, after = pod_templates(render()), pod_templates(render(values))
    changed = {name.removeprefix(f"{PREFIX}-") for name in before if before[name] != after[name]}
    assert changed == restarted


def test_a_new_application_restarts_everything_that_runs_it_and_not_the_broker() -> None:
    before, after = pod_templates(render()), pod_templates(render({"image": {"repository": "shop", "tag": "2"}}))
    same = {name for name in before if before[name] == after.get(name)}
    assert same == {f"{PREFIX}-broker"}
