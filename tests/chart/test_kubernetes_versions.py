"""The objects are valid for every Kubernetes that the chart says it installs on."""

from __future__ import annotations

import copy

import pytest
import yaml

from tests.support import kubernetes
from tests.support.helm import CHART, PREFIX, Objects


def test_the_oldest_is_the_one_that_the_chart_asks_for() -> None:
    about = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert about["kubeVersion"] == f">={kubernetes.MINORS[0]}.0-0"


@pytest.mark.parametrize("minor", kubernetes.MINORS)
def test_with_everything_on_it_is_valid_for(everything: Objects, minor: str) -> None:
    for key, thing in everything.items():
        if not everything.sources[key].endswith("/extra.yaml"):
            kubernetes.check(thing, minor)


@pytest.mark.parametrize(
    ("kind", "name", "path", "value"),
    [
        ("Deployment", "worker-email", "spec.replica", 1),
        ("Deployment", "worker-email", "spec.template.spec.terminationGracePeriodSeconds", "30"),
        ("ScaledObject", "worker-email", "spec.minReplicas", 1),
        ("ScaledObject", "worker-email", "spec.fallback.replicas", "one"),
        ("TriggerAuthentication", "worker-email", "spec.secretTargetRefs", []),
        ("HTTPRoute", "flower", "spec.parentRef", []),
    ],
)
def test_a_misspelled_or_mistyped_field_is_seen(
    everything: Objects, kind: str, name: str, path: str, value: object
) -> None:
    thing = copy.deepcopy(everything[kind, f"{PREFIX}-{name}"])
    *above, last = path.split(".")
    place = thing
    for key in above:
        place = place[key]
    place[last] = value
    with pytest.raises(AssertionError, match=last):
        kubernetes.check(thing)
