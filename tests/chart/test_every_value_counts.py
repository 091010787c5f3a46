"""Every value of both charts does something: change it alone, and what Helm renders is another text."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import helm
from tests.support.helm import CHART, IMAGE, LOGIN, MONITORING, leaves

NODE_PORT: dict[str, Any] = {"service": {"type": "NodePort"}}
ROUTED: dict[str, Any] = {
    **NODE_PORT,
    "ingress": {"enabled": True, "host": "shop.example.com"},
    "httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]},
}
MONITORS = ("podMonitor", "serviceMonitor", "prometheusRule", "rules", "dashboards")
# What must be switched on for most of the others to be read.
ON: dict[Path, dict[str, Any]] = {
    CHART: {
        **IMAGE,
        "flower": ROUTED,
        "api": ROUTED,
        "exporter": {"enabled": True},
        "metrics": {"enabled": True},
        "monitoring": {name: {"enabled": True} for name in MONITORS},
    },
    MONITORING: {
        "grafana": {**LOGIN["grafana"], **NODE_PORT},
        "alertmanager": NODE_PORT,
        "prometheus": {**NODE_PORT, "persistence": {"enabled": True}},
        "keda": {"enabled": True},
    },
}
UNWATCHED = {
    "exporter": {"enabled": False},
    "metrics": {"enabled": False},
    "monitoring": {name: {"enabled": False} for name in MONITORS},
}
EXTERNAL = {"broker": {"existingSecret": "broker", "external": {"host": "broker.example.com"}}}
SENTINELS = {"broker": {"external": {"host": "", "sentinel": {"masterName": "main", "hosts": ["one:26379"]}}}}


def scaled(engine: str, **more: Any) -> dict[str, Any]:
    return {"workers": {"defaults": {"autoscaling": {"engine": engine, **more}}}}


# What else must be so for a value, or for all below it, to be read.
WHERE: dict[Path, dict[str, dict[str, Any]]] = {
    CHART: {
        "app.module": {"app": {"runtime": "installed"}, "workers": {"groups": {"mine": {"queues": ["mine"]}}}},
        "app.runtime": UNWATCHED,
        "app.priorities.separator": {"app": {"priorities": {"enabled": True}}},
        "broker.external": EXTERNAL,
        "broker.external.scalerUsername": scaled("keda"),
        "broker.external.sentinel": SENTINELS,
        "broker.server": {"broker": {"image": {"repository": "registry.example.com/server"}}},
        "broker.tls": {"broker": {"tls": {"enabled": True, "existingSecret": "broker-tls"}}},
        "workers.defaults.pool": {"workers": {"defaults": {"unboundedPool": True}}},
        "workers.defaults.autoscaling": scaled("keda", minReplicas=0),
        "workers.defaults.autoscaling.behavior": scaled("keda", minReplicas=1),
        "workers.defaults.autoscaling.targetWaitSeconds": scaled("keda", policy="latency"),
        "workers.defaults.autoscaling.targetCPUUtilizationPercentage": scaled("hpa", minReplicas=1),
        "workers.defaults.autoscaling.metrics": scaled("hpa", minReplicas=1),
        "exporter.enabled": UNWATCHED,
        "exporter.image": {"exporter": {"kind": "celery-exporter"}},
        "metrics.enabled": UNWATCHED,
        "monitoring.keda": scaled("keda"),
        "api.autoscaling": {"api": {"autoscaling": {"enabled": True}}},
    },
    MONITORING: {
        "prometheus.enabled": {"alertmanager": {"enabled": False}, "grafana": {"prometheusUrl": "http://prometheus"}},
    },
}
# What a value may be that can't be just anything, by the end of its path.
OTHER: dict[str, Any] = {
    "requests.cpu": "77m",
    "requests.memory": "77Mi",
    "limits.memory": "777Mi",
    "defaults.resources.limits": {"memory": "777Mi"},
    "app.runtime": "absent",
    "logLevel": "warning",
    "separator": "\u0006",
    "digest": f"sha256:{'0' * 64}",
    "pullPolicy": "Always",
    "server": "valkey-server",
    "appendfsync": "always",
    "masterName": "other",
    "hosts": ["other:26379"],
    "pool": "threads",
    "waitObjectiveSeconds": 120,
    "args": ["--without-mingle"],
    "engine": "none",
    "policy": "latency",
    "targetUtilisationPercent": 90,
    "policies": [{"type": "Pods", "value": 1, "periodSeconds": 15}],
    "metrics": [{"type": "Resource", "resource": {"name": "memory", "target": {"type": "Utilization"}}}],
    "workers.groups": {"other": {"queues": ["other"]}},
    "queues": ["other"],
    "service.type": "LoadBalancer",
    "nodePort": 31000,
    "hostnames": ["other.example.com"],
    "kind": "celery-exporter",
    "interval": "30s",
    "runbookUrl": "https://other.example.com",
    "grafanaUrl": "https://other.example.com",
    "externalUrl": "https://other.example.com",
    "prometheusUrl": "https://other.example.com",
    "retention": "8d",
    "size": "5Gi",
    "namespaces": ["other"],
    "releases": ["other"],
}
VALUES = {chart: yaml.safe_load((chart / "values.yaml").read_text(encoding="utf-8")) for chart in ON}


def ending(table: Mapping[str, Any], path: str) -> Any:
    return next((value for end, value in table.items() if f".{path}".endswith(f".{end}")), None)


def another(path: str, value: Any) -> Any:
    """Return something else that a value may be."""
    if (other := ending(OTHER, path)) is not None:
        return other
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, list):
        return [*value, {"a": "b"}]
    return {"a": "b"} if isinstance(value, Mapping) else f"{value}x"


def below(path: tuple[str, ...], value: Any) -> Any:
    return {path[0]: below(path[1:], value)} if path else value


@functools.cache
def rendered(chart: Path, values: str) -> str:
    return helm.text(json.loads(values), chart=chart)


def surroundings(chart: Path, path: str) -> dict[str, Any]:
    more = [values for start, values in WHERE[chart].items() if f"{path}.".startswith(f"{start}.")]
    return helm.merged([ON[chart], *more])


@pytest.mark.parametrize(
    ("chart", "path"),
    [pytest.param(chart, path, id=".".join((chart.name, *path))) for chart in ON for path, _ in leaves(VALUES[chart])],
)
def test_a_value_changes_what_is_rendered(chart: Path, path: tuple[str, ...]) -> None:
    name = ".".join(path)
    before = surroundings(chart, name)
    value = functools.reduce(lambda node, key: node[key], path, helm.merged([VALUES[chart], before]))
    after = helm.merged([before, below(path, another(name, value))])
    assert rendered(chart, json.dumps(after)) != rendered(chart, json.dumps(before))
