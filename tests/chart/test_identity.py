"""Objects are told apart, for ever: names, labels and selectors."""

from __future__ import annotations

import re
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from tests.support.helm import NAMESPACE, PREFIX, TEMPLATES, Objects, render

KINDS = {
    "configmap": {"ConfigMap"},
    "dashboards": {"ConfigMap"},
    "rules": {"ConfigMap"},
    "deployment": {"Deployment"},
    "hpa": {"HorizontalPodAutoscaler"},
    "httproute": {"HTTPRoute"},
    "ingress": {"Ingress"},
    "job": {"Job"},
    "keda": {"ScaledObject", "TriggerAuthentication"},
    "networkpolicy": {"NetworkPolicy"},
    "pdb": {"PodDisruptionBudget"},
    "podmonitor": {"PodMonitor"},
    "prometheusrule": {"PrometheusRule"},
    "rbac": {"ServiceAccount", "Role", "RoleBinding"},
    "round-trip": {"ConfigMap", "Pod"},
    "secret": {"Secret"},
    "service": {"Service"},
    "servicemonitor": {"ServiceMonitor"},
    "serviceaccount": {"ServiceAccount"},
    "statefulset": {"StatefulSet"},
}


def ours(objects: Objects) -> dict[tuple[str, str], Any]:
    """Return the chart's own objects; what users add is theirs."""
    return {key: thing for key, thing in objects.items() if not objects.sources[key].endswith("/extra.yaml")}


def matches(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return selector.items() <= labels.items()


def test_every_object_has_the_recommended_labels(objects: Objects) -> None:
    wanted = {
        f"app.kubernetes.io/{name}" for name in ("name", "instance", "component", "part-of", "version", "managed-by")
    }
    for (kind, name), thing in ours(objects).items():
        assert wanted | {"helm.sh/chart"} <= set(thing["metadata"]["labels"]), f"{kind}/{name}"


def test_every_object_is_in_the_releases_namespace_and_begins_with_its_name(objects: Objects) -> None:
    for (kind, name), thing in objects.items():
        assert thing["metadata"]["namespace"] == NAMESPACE, f"{kind}/{name}"
        assert name == PREFIX or name.startswith(f"{PREFIX}-"), f"{kind}/{name}"


def test_the_component_is_the_folder_of_the_template_and_part_of_the_name(objects: Objects) -> None:
    for (kind, name), thing in ours(objects).items():
        folder = Path(objects.sources[kind, name]).parent.name
        component = thing["metadata"]["labels"]["app.kubernetes.io/component"]
        if folder == "monitoring":
            # Monitors are of what they watch, and each dashboard has a name of its own.
            assert component in ("monitoring", "worker", "exporter"), f"{kind}/{name}"
            continue
        assert component == {"tests": "test"}.get(folder, folder), f"{kind}/{name}"
        assert kind == "Secret" or name.startswith(f"{PREFIX}-{component}"), f"{kind}/{name}"


def test_every_template_renders_the_kind_that_it_is_named_after(objects: Objects) -> None:
    for (kind, name), source in objects.sources.items():
        stem = Path(source).stem
        assert stem == "extra" or kind in KINDS[stem], f"{kind}/{name} of {source}"


def test_every_template_is_rendered_by_the_everything_example(everything: Objects) -> None:
    shown = {source.partition("/templates/")[2] for source in everything.sources.values()}
    files = {"/".join(path.parts[path.parts.index("templates") + 1 :]) for path in TEMPLATES}
    assert {name for name in files if not Path(name).name.startswith(("_", "NOTES"))} - shown == {"validate.yaml"}


def test_pods_carry_neither_the_charts_nor_the_applications_version(objects: Objects) -> None:
    for name, workload in objects.workloads.items():
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert not {"helm.sh/chart", "app.kubernetes.io/version", "app.kubernetes.io/managed-by"} & set(labels), name
        assert not {"helm.sh/chart", "app.kubernetes.io/version"} & set(workload["spec"]["selector"]["matchLabels"]), (
            name
        )


def test_a_workloads_selector_matches_its_own_pods_and_no_others(objects: Objects) -> None:
    workloads, pods = objects.workloads, objects.pods
    for name, workload in workloads.items():
        assert matches(workload["spec"]["selector"]["matchLabels"], pods[name]["metadata"]["labels"]), name
    for one in workloads:
        for other in set(pods) - {one}:
            selector = workloads[one]["spec"]["selector"]["matchLabels"]
            assert not matches(selector, pods[other]["metadata"]["labels"]), f"{one} takes pods of {other}"


@pytest.mark.parametrize("kind", ["Service", "PodDisruptionBudget"])
def test_what_selects_pods_selects_those_of_one_workload(objects: Objects, kind: str) -> None:
    for name, thing in objects.of(kind).items():
        selector = thing["spec"]["selector"]
        selector = selector.get("matchLabels", selector)
        taken = [pod for pod in objects.workloads if matches(selector, objects.pods[pod]["metadata"]["labels"])]
        assert taken == [name], f"{kind}/{name}"


def test_two_releases_in_one_namespace_share_no_name_no_selector_and_no_key() -> None:
    releases = [render(release=name) for name in ("shop", "shop-celery-worker", "shop-celery2")]
    for one, other in permutations(releases, 2):
        assert not set(one) & set(other)
        pods = {name: pod["metadata"]["labels"] for name, pod in other.pods.items()}
        for name, workload in one.workloads.items():
            selector = workload["spec"]["selector"]["matchLabels"]
            assert [pod for pod, labels in pods.items() if matches(selector, labels)] == [], name
        prefixes = [
            set(re.findall(r'CELERY_KEY_PREFIX", ?"value": ?"([^"]+)"|resetkeys ~(\S+)\*', item.text))
            for item in (one, other)
        ]
        (mine,), (theirs,) = ({part for pair in found for part in pair if part} for found in prefixes)
        assert not mine.startswith(theirs)
        assert mine.endswith(":")


def test_names_that_look_like_numbers_stay_names() -> None:
    values = {
        "fullnameOverride": "on",
        "app": {"module": "null", "runtime": "installed"},
        "broker": {"existingSecret": "789", "tls": {"enabled": True, "existingSecret": "0x1"}},
        "flower": {"existingSecret": "1"},
        "api": {"module": "yes:no", "existingSecret": "2", "serviceAccount": {"name": "3"}, "priorityClassName": "4"},
        "workers": {
            "groups": {"on": {"queues": ["1"], "autoscaling": {"engine": "keda"}, "serviceAccount": {"name": "5"}}}
        },
    }
    objects = render(values, release="123", namespace="456")
    assert objects["Deployment", "on-worker-on"]["metadata"]["labels"]["worker-group"] == "on"


def test_the_longest_names_still_fit() -> None:
    """A label holds 63 characters, and KEDA writes the name of a ScaledObject into one."""
    group = "g" * 20
    values = {
        "fullnameOverride": "f" * 35,
        "workers": {"groups": {group: {"queues": ["x"], "autoscaling": {"engine": "keda"}}}},
    }
    longest = max(len(name) for _, name in render(values))
    assert longest <= 63
