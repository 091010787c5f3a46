"""helm/monitoring says again what versions.env, helm/celery and the dashboards say: here they are compared."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

import app
from scripts.versions import pinned
from tests.contract.test_chart_agrees import closed, schema_paths
from tests.support import helm
from tests.support.helm import LOGIN, MONITORING, PREFIX, leaves, render

VALUES = yaml.safe_load((MONITORING / "values.yaml").read_text(encoding="utf-8"))
SCHEMA = json.loads((MONITORING / "values.schema.json").read_text(encoding="utf-8"))
# Kubernetes' own keys below these.
OPEN = ("requests", "limits", "claims", "config", "podSecurityContext", "containerSecurityContext")
MONITORED: dict[str, Any] = {
    "exporter": {"enabled": True},
    "metrics": {"enabled": True},
    "monitoring": {"annotations": True, "rules": {"enabled": True}, "dashboards": {"enabled": True}},
    "workers": {"defaults": {"autoscaling": {"engine": "keda"}}},
}


def cut(path: tuple[str, ...]) -> tuple[str, ...]:
    found = [number for number, key in enumerate(path) if key in OPEN]
    return path[: found[0] + 1] if found else path


@pytest.mark.parametrize("key", ["prometheus", "alertmanager", "kubeStateMetrics", "grafana"])
def test_an_image_is_the_pinned_one(key: str) -> None:
    image, name = VALUES[key]["image"], re.sub("([A-Z])", r"_\1", key).upper()
    assert f"{image['repository']}:{image['tag']}" == pinned(f"{name}_IMAGE")


def test_prometheus_is_of_the_tools_version() -> None:
    assert VALUES["prometheus"]["image"]["tag"] == f"v{pinned('PROMETHEUS_VERSION')}"


def test_the_chart_is_of_the_applications_version() -> None:
    about = yaml.safe_load((MONITORING / "Chart.yaml").read_text(encoding="utf-8"))
    assert about["version"] == about["appVersion"] == app.__version__


def test_the_schema_knows_the_keys_of_the_values_and_no_others() -> None:
    wanted = {cut(path) for path, _ in leaves(VALUES)}
    known = {cut(path) for path in schema_paths(SCHEMA)} - {("global",), ("enabled",)}
    known = {path for path in known if path[-1] != "claims"}
    assert known ^ wanted == {path for path in known ^ wanted if path[-1] == "resources"}


def test_the_schema_is_closed_wherever_it_names_keys() -> None:
    assert list(closed(SCHEMA)) == []


def test_it_mounts_the_very_config_maps_that_helm_celery_makes() -> None:
    made = {name for name in render(MONITORED).of("ConfigMap") if "-dashboard-" in name or name.endswith("-rules")}
    objects = helm.render({**LOGIN, "releases": [PREFIX]}, chart=MONITORING, release="monitoring")
    mounted = {
        source["configMap"]["name"]
        for pod in objects.pods.values()
        for volume in pod["spec"].get("volumes", [])
        for source in volume.get("projected", {}).get("sources", [])
    }
    assert mounted == made
    assert len(made) == 7


def test_what_it_reads_of_kubernetes_is_what_rules_and_dashboards_ask_for() -> None:
    files = helm.CHART / "files"
    asked = "\n".join(
        path.read_text(encoding="utf-8") for path in [*files.glob("rules/*.yaml"), *files.glob("dashboards/*")]
    )
    kinds = {f"{kind}s" for kind in re.findall(r"\bkube_([a-z]+)_", asked)}
    objects = helm.render(LOGIN, chart=MONITORING, release="monitoring")
    container = objects.containers["monitoring-kube-state-metrics/kube-state-metrics"]
    (told,) = (word for word in container["args"] if word.startswith("--resources="))
    assert set(told.removeprefix("--resources=").split(",")) == kinds
    role = objects["Role", "monitoring-kube-state-metrics"]
    assert {kind for rule in role["rules"] for kind in rule["resources"]} == kinds


def test_grafana_knows_how_often_pages_are_read() -> None:
    source = yaml.safe_load((MONITORING / "files/provisioning/datasources/prometheus.yaml").read_text(encoding="utf-8"))
    objects = helm.render(LOGIN, chart=MONITORING, release="monitoring")
    configuration = yaml.safe_load(objects["ConfigMap", "monitoring-prometheus"]["data"]["prometheus.yml"])
    assert source["datasources"][0]["jsonData"]["timeInterval"] == configuration["global"]["scrape_interval"]


def test_grafana_finds_the_dashboards_where_they_are_mounted() -> None:
    provider = yaml.safe_load((MONITORING / "files/provisioning/dashboards/celery.yaml").read_text(encoding="utf-8"))
    objects = helm.render(LOGIN, chart=MONITORING, release="monitoring")
    mounts = objects.containers["monitoring-grafana/grafana"]["volumeMounts"]
    (where,) = (mount["mountPath"] for mount in mounts if mount["name"] == "dashboards")
    assert provider["providers"][0]["options"]["path"] == where
