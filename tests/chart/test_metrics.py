"""Workers, beat and the API serve their pages to Prometheus and to nobody else, and are found by it, when asked to."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from app.config import Settings
from tests.chart.test_network import ANYWHERE, KEDA, NEIGHBOUR, STRANGER, Peer, allowed, pod
from tests.support import kubernetes
from tests.support.helm import PREFIX, Objects, environment, render

ON: dict[str, Any] = {"metrics": {"enabled": True}}
MONITORED = {**ON, "monitoring": {"podMonitor": {"enabled": True, "interval": "30s", "labels": {"release": "kps"}}}}
ANNOTATED = {**ON, "monitoring": {"annotations": True}}
PORT = 9540
PROMETHEUS = Peer({"app.kubernetes.io/name": "prometheus"}, "monitoring")


def pages(objects: Objects) -> dict[str, int]:
    """Return the port that each container names `metrics`, by workload."""
    return {
        name.partition("/")[0].removeprefix(f"{PREFIX}-"): port["containerPort"]
        for name, container in objects.containers.items()
        for port in container.get("ports", [])
        if port["name"] == "metrics"
    }


def served(objects: Objects) -> set[str]:
    return {f"worker-{group}" for group in objects.groups} | {"beat", "api"}


def test_nothing_is_served_or_changed_until_it_is_asked_for() -> None:
    assert pages(render()) == {}
    for container in render().containers.values():
        assert "CELERY_METRICS_PORT" not in environment({"env": [], **container})
    assert render({"metrics": {"port": 1234}}) == render()


def test_every_worker_beat_and_the_api_serve_on_the_port_that_it_is_told() -> None:
    objects = render({"metrics": {"enabled": True, "port": 9999}})
    assert pages(objects) == dict.fromkeys(served(objects), 9999)
    for name in served(objects):
        told = environment(objects.containers[f"{PREFIX}-{name}/{name.partition('-')[0]}"])
        port = told["CELERY_METRICS_PORT"]
        assert Settings.from_environment({"CELERY_METRICS_PORT": port}).metrics_port == 9999


def test_without_beat_the_workers_serve() -> None:
    assert "beat" not in pages(render({**ON, "beat": {"enabled": False}}))


def test_prometheus_reads_the_pages_and_nobody_else_does() -> None:
    objects = render(ON)
    for name in served(objects):
        target = pod(objects, name)
        assert allowed(objects, PROMETHEUS, target, PORT)
        for peer in (KEDA, NEIGHBOUR, STRANGER, pod(objects, "flower"), Peer(address=ANYWHERE)):
            assert not allowed(objects, peer, target, PORT), (name, peer)
        assert not allowed(objects, PROMETHEUS, target, PORT + 1)


def test_where_no_prometheus_is_named_nobody_reads_them() -> None:
    # A rule with an empty list of peers would let everybody in.
    objects = render({**ON, "networkPolicy": {"prometheus": []}})
    for name in ("worker", "beat", "api"):
        policy = objects["NetworkPolicy", f"{PREFIX}-{name}"]["spec"]
        opened = [port["port"] for rule in policy.get("ingress", []) for port in rule["ports"]]
        assert opened == (["http"] if name == "api" else [])
        assert "Ingress" in policy["policyTypes"]


def test_the_podmonitor_selects_all_who_serve_and_nobody_else() -> None:
    objects = render(MONITORED)
    spec = objects["PodMonitor", f"{PREFIX}-worker"]["spec"]
    labels, (rule,) = spec["selector"]["matchLabels"], spec["selector"]["matchExpressions"]
    found = {
        name.removeprefix(f"{PREFIX}-")
        for name, thing in objects.pods.items()
        if labels.items() <= thing["metadata"]["labels"].items()
        and thing["metadata"]["labels"][rule["key"]] in rule["values"]
    }
    assert found == served(objects) == set(pages(objects))
    assert spec["podMetricsEndpoints"] == [{"port": "metrics", "path": "/metrics", "interval": "30s"}]


def test_the_podmonitor_has_the_labels_that_an_operator_selects_by() -> None:
    labels = render(MONITORED)["PodMonitor", f"{PREFIX}-worker"]["metadata"]["labels"]
    assert labels["release"] == "kps"
    taken = copy.deepcopy(MONITORED)
    taken["monitoring"]["podMonitor"]["labels"]["app.kubernetes.io/instance"] = "other"
    labels = render(taken)["PodMonitor", f"{PREFIX}-worker"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/instance"] == "shop"


def test_annotations_name_the_port_of_the_page() -> None:
    objects = render(ANNOTATED)
    expected = {"prometheus.io/scrape": "true", "prometheus.io/port": str(PORT), "prometheus.io/path": "/metrics"}
    for name in served(objects):
        annotations = objects.pods[f"{PREFIX}-{name}"]["metadata"]["annotations"]
        assert expected.items() <= annotations.items()
    for name in ("flower", "broker"):
        assert not expected.keys() & (objects.pods[f"{PREFIX}-{name}"]["metadata"].get("annotations") or {}).keys()


def test_a_pods_own_annotations_win() -> None:
    own = {"prometheus.io/port": "1", "mine": "x"}
    pods = {"podAnnotations": own}
    objects = render({**ANNOTATED, "beat": pods, "api": pods, "workers": {"defaults": pods}})
    for name in served(objects):
        annotations = objects.pods[f"{PREFIX}-{name}"]["metadata"]["annotations"]
        assert own.items() <= annotations.items()
        assert annotations["prometheus.io/scrape"] == "true"


@pytest.mark.parametrize(("path", "value"), [("podMetricsEndpoint", []), ("selector.matchLabel", {})])
def test_a_misspelled_field_of_the_podmonitor_would_be_seen(path: str, value: object) -> None:
    thing = copy.deepcopy(render(MONITORED)["PodMonitor", f"{PREFIX}-worker"])
    *above, last = path.split(".")
    place = thing["spec"]
    for key in above:
        place = place[key]
    place[last] = value
    with pytest.raises(AssertionError, match=last):
        kubernetes.check(thing)
