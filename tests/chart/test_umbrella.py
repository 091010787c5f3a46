"""The chart works as a dependency of somebody's umbrella chart."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import toolbox
from tests.support.helm import CHART, IMAGE, render, text


@pytest.fixture(scope="module", params=["helm", "helm3"])
def umbrella(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chart that has ours twice: under its own name, with a switch, and under an alias."""
    folder = tmp_path_factory.mktemp("umbrella")
    # A copy: an edit of the chart while Helm packs it would be half in the package.
    shutil.copytree(CHART, folder / "celery")
    chart = folder / "platform"
    chart.mkdir()
    version = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["version"]
    ours = {"name": "celery", "version": version, "repository": "file://../celery"}
    about = {
        "apiVersion": "v2",
        "name": "platform",
        "version": "1.0.0",
        "dependencies": [
            {**ours, "condition": "celery.enabled"},
            {**ours, "alias": "batch", "condition": "batch.enabled"},
        ],
    }
    (chart / "Chart.yaml").write_text(yaml.safe_dump(about), encoding="utf-8")
    build = [str(toolbox.find(request.param)), "dependency", "build", str(chart)]
    subprocess.run(build, check=True, capture_output=True, timeout=60)
    return chart


def under(**values: Any) -> dict[str, Any]:
    return {"global": {"team": "shop"}, **values}


def test_it_renders_the_same_objects_as_alone(umbrella: Path) -> None:
    values = under(celery={"enabled": True, **IMAGE}, batch={"enabled": False})
    objects = render(values, chart=umbrella)
    alone = render()
    assert dict(objects) == dict(alone)


def test_it_can_be_switched_off(umbrella: Path) -> None:
    assert text(under(celery={"enabled": False}, batch={"enabled": False}), chart=umbrella).strip() == ""


def test_two_of_them_in_one_release_share_nothing(umbrella: Path) -> None:
    both = render(under(celery=IMAGE, batch={**IMAGE, "nameOverride": ""}), chart=umbrella)
    assert len(both) == 2 * len(render())
    pods = {name: item["metadata"]["labels"] for name, item in both.pods.items()}
    for name, workload in both.workloads.items():
        selector = workload["spec"]["selector"]["matchLabels"].items()
        assert [pod for pod, labels in pods.items() if selector <= labels.items()] == [name]


def test_a_mistake_is_refused_there_too(umbrella: Path) -> None:
    with pytest.raises(AssertionError, match="additional properties 'replicas' not allowed"):
        render(under(celery={**IMAGE, "beat": {"replicas": 2}}, batch={"enabled": False}), chart=umbrella)
