"""helm/monitoring sees a release at work: its pages, its pods, its scaling; it rings for a fault, and for no scaling.

Grafana itself is not run here: its image can't be had on every machine. What it would ask is asked of Prometheus.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
import yaml

from grafana.ask import Server, fill, panels
from scripts.deploy import release as helm_release
from scripts.deploy import rollout
from scripts.deploy.environment import MONITORING
from scripts.deploy.kube import Kube
from scripts.versions import pinned
from tests.cluster.conftest import carry
from tests.conftest import ROOT
from tests.support.cluster import Release, forwarded
from tests.support.stack import until

# Seconds: two reads of every page, and an evaluation.
SEEN_WITHIN = 60
GROUPS = ("email", "report")
RUNBOOK = "https://wiki.example.com/runbook"
ZERO = {
    "engine": "keda",
    "minReplicas": 0,
    "maxReplicas": 2,
    "pollingSeconds": 2,
    "cooldownSeconds": 10,
    "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}},
}
WATCHED: dict[str, Any] = {
    "workers": {
        "exampleGroups": {
            "email": {"queues": ["email"], "autoscaling": ZERO},
            "report": {"queues": ["report"], "autoscaling": ZERO},
        }
    },
    "api": {"enabled": True, "replicas": 1},
    "exporter": {"enabled": True},
    "metrics": {"enabled": True},
    "monitoring": {"annotations": True, "rules": {"enabled": True}},
}
WATCHING: dict[str, Any] = {
    "keda": {"enabled": True},
    "grafana": {"enabled": False},
    "alertmanager": {"config": {"route": {"receiver": "nobody", "group_wait": "1s"}}},
}
# Nothing was killed here, so nobody tells of it.
NOT_SEEN = {"Killed for memory"}


@dataclass(frozen=True)
class Monitored:
    """A release, and where Prometheus and Alertmanager of the monitoring beside it answer."""

    release: Release
    kube: Kube
    prometheus: str
    alertmanager: str

    def ask(self, path: str, **words: Any) -> Any:
        answer = httpx.get(f"{self.prometheus}/api/v1/{path}", params=words, timeout=20)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def rules(self) -> dict[str, dict[str, Any]]:
        """Return what Prometheus knows of each rule, by name."""
        return {rule["name"]: rule for group in self.ask("rules")["groups"] for rule in group["rules"]}

    def targets(self) -> dict[str, str]:
        """Return the health of each target by its pod, or by its job where it has none."""
        found = self.ask("targets", state="active")["activeTargets"]
        return {one["labels"].get("pod", one["labels"]["job"]): one["health"] for one in found}


@pytest.fixture(scope="module")
def monitored(
    releases: Callable[..., Release], shell: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Monitored]:
    carry(shell, *(pinned(f"{part}_IMAGE") for part in ("PROMETHEUS", "ALERTMANAGER", "KUBE_STATE_METRICS")))
    release = releases()
    kube = Kube(replace(release.kube.environment, release="monitoring", chart=MONITORING))
    values = tmp_path_factory.mktemp("monitoring") / "values.yaml"
    values.write_text(yaml.safe_dump(WATCHING))
    # First, so that its files of rules are not there yet: it has to find them when they come.
    helm_release.install(kube, (f"--values={values}",))
    release.install(WATCHED)
    rollout.wait(kube, 120, lambda _: None)
    command = [*kube.command, "port-forward"]
    with (
        forwarded([*command, "service/monitoring-prometheus", "9090:9090"]) as prometheus,
        forwarded([*command, "service/monitoring-alertmanager", "9093:9093"]) as alertmanager,
    ):
        yield Monitored(release, kube, prometheus, alertmanager)


def test_prometheus_reads_the_page_of_every_pod_that_has_one_and_of_kubernetes_and_keda(monitored: Monitored) -> None:
    def missing() -> set[str]:
        pods = [pod for part in ("worker", "beat", "exporter", "api") for pod in monitored.release.pods(part)]
        wanted = {pod["metadata"]["name"] for pod in pods} | {"kube-state-metrics", "monitoring"}
        found = monitored.targets()
        keda = {name for name in found if name.startswith("keda-operator-")}
        assert pods
        return {name for name in wanted | (keda or {"keda-operator"}) if found.get(name) != "up"}

    until(lambda: not missing(), 2 * SEEN_WITHIN, "every page is read")


def test_every_rule_of_the_release_is_loaded_and_can_be_evaluated(monitored: Monitored) -> None:
    (config_map,) = (
        document for document in monitored.release.rendered() if document["metadata"]["name"] == "celery-rules"
    )
    groups = yaml.safe_load(config_map["data"]["celery.yaml"])["groups"]
    wanted = {rule.get("alert") or rule["record"] for group in groups for rule in group["rules"]}
    assert len(wanted) > 30
    # The kubelet brings a ConfigMap that is new within its period, Prometheus takes it without being told.
    until(lambda: set(monitored.rules()) == wanted, 150, "all rules are loaded")
    until(
        lambda: {rule["health"] for rule in monitored.rules().values()} == {"ok"}, SEEN_WITHIN, "all can be evaluated"
    )


def test_work_that_makes_groups_grow_and_go_to_zero_is_to_be_seen_and_rings_nothing(monitored: Monitored) -> None:
    release = monitored.release
    until(lambda: value(monitored, "count(ALERTS)") == -1, SEEN_WITHIN, "no page is missing any more")
    began = time.time()
    sent = {group: release.send("tasks.faults.sleep", 5, group, count=16, queue=group) for group in GROUPS}
    for group in GROUPS:
        release.agrees(group, sent[group], 120)
    until(lambda: not any(release.pods("worker", group) for group in GROUPS), 120, "the groups go to zero")
    asked_for = f'sum(kube_deployment_spec_replicas{{deployment=~"celery-worker-({"|".join(GROUPS)})"}})'
    until(lambda: value(monitored, asked_for) == 0, SEEN_WITHIN, "Prometheus has seen it")
    span = Server(monitored.prometheus, began, time.time(), step=5)
    seen = {panel["title"]: _points(span, release, panel) for panel in _about_kubernetes()}
    assert {title for title, points in seen.items() if not points} <= NOT_SEEN
    assert len(seen) >= 6
    assert max(seen["Pods asked for and ready"]) == 2, "the maximum of each group"
    # From zero a queue has no consumer for a moment: that is looked at, and rings for nobody.
    rang = [series.labels for series in span.range('ALERTS{alertname=~"Celery.+", alertstate="firing"}')]
    assert rang == [], "scaling is no reason to wake anybody"


def value(monitored: Monitored, query: str) -> float:
    found = monitored.ask("query", query=query)["result"]
    return float(found[0]["value"][1]) if found else -1


def _about_kubernetes() -> Iterator[dict[str, Any]]:
    """Yield the panels that show nothing but what Kubernetes and KEDA tell."""
    for path in sorted((ROOT / "grafana" / "dashboards").glob("*.json")):
        for panel in panels(json.loads(path.read_text(encoding="utf-8"))):
            if all("kube_" in one["expr"] or "keda_" in one["expr"] for one in panel["targets"]):
                yield panel


def _points(server: Server, release: Release, panel: dict[str, Any]) -> list[float]:
    values = {"namespace": release.kube.environment.namespace, "group": ".*", "__rate_interval": "1m"}
    return [
        at
        for target in panel["targets"]
        for series in server.range(fill(target["expr"], values))
        for _, at in series.points
    ]


def test_an_outage_of_redis_rings_with_a_link_to_what_to_do_and_stops_when_it_is_over(monitored: Monitored) -> None:
    release = monitored.release
    # New values come to Prometheus by themselves, too.
    release.install({**WATCHED, "monitoring": {**WATCHED["monitoring"], "runbookUrl": RUNBOOK}})
    until(
        lambda: monitored.rules()["CeleryRedisDown"]["annotations"]["runbook_url"].startswith(RUNBOOK),
        150,
        "Prometheus has the new rules",
    )
    release.kube.kubectl("scale", release.workload("broker"), "--replicas=0")
    try:
        until(lambda: ringing(monitored), 240, "Alertmanager has been told")
    finally:
        release.kube.kubectl("scale", release.workload("broker"), "--replicas=1")
    (alert,) = ringing(monitored)
    assert alert["labels"]["severity"] == "critical"
    assert alert["labels"]["namespace"] == release.kube.environment.namespace
    assert alert["annotations"]["runbook_url"] == f"{RUNBOOK}#celeryredisdown"
    assert alert["annotations"]["dashboard_url"].endswith(f"var-namespace={release.kube.environment.namespace}")
    release.wait()
    until(lambda: monitored.rules()["CeleryRedisDown"]["state"] == "inactive", 2 * SEEN_WITHIN, "it is over")


def ringing(monitored: Monitored) -> list[dict[str, Any]]:
    """Return what Alertmanager would tell somebody of Redis."""
    asked = httpx.get(f"{monitored.alertmanager}/api/v2/alerts", params={"filter": 'alertname="CeleryRedisDown"'})
    found: list[dict[str, Any]] = asked.json()
    return [alert for alert in found if alert["status"]["state"] == "active"]
