"""Queries about pods and autoscalers, of which nobody here tells: promtool plays them on series of theirs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from grafana.ask import fill, panels
from scripts import toolbox
from tests.conftest import ROOT

VALUES = {"namespace": "shop", "group": "(email|report)", "__rate_interval": "1m"}
HERE, THERE = 'namespace="shop"', 'namespace="other"'
WORKER = 'deployment="shop-celery-worker-email"'
HPA, POD, SCALED = "horizontalpodautoscaler", "shop-celery-worker-email-5d-x", "scaledObject"
REPORT = "shop-celery-worker-report"
# Twice a minute, as kube-state-metrics is read; with a Deployment of somebody else, and one of another namespace.
SERIES = {
    f"kube_deployment_spec_replicas{{{HERE}, {WORKER}}}": "1x5 3x6",
    f"kube_deployment_status_observed_generation{{{HERE}, {WORKER}}}": "1x5 2x4 3x1",
    f"kube_deployment_status_replicas_available{{{HERE}, {WORKER}}}": "1x7 2x1 3x2",
    f'kube_deployment_status_replicas_available{{{HERE}, deployment="shop-web"}}': "9x12",
    f"kube_deployment_status_replicas_available{{{THERE}, {WORKER}}}": "7x12",
    f'kube_horizontalpodautoscaler_status_desired_replicas{{{HERE}, {HPA}="shop-celery-worker-email"}}': "3x12",
    f'kube_horizontalpodautoscaler_spec_max_replicas{{{HERE}, {HPA}="keda-hpa-{REPORT}"}}': "5x12",
    f'kube_pod_container_status_restarts_total{{{HERE}, pod="{POD}", container="worker"}}': "0x12",
    f'kube_pod_container_status_last_terminated_reason{{{HERE}, pod="{POD}", reason="OOMKilled"}}': "1x12",
    f'keda_scaled_object_errors_total{{{HERE}, {SCALED}="shop-celery-worker-email"}}': "0+30x12",
    f'keda_scaled_object_errors_total{{namespace="keda", exported_namespace="shop", {SCALED}="{REPORT}"}}': "0+60x12",
}
# What the panel's query of that number returns at the end: labels and value.
PANELS: dict[tuple[str, str, int], dict[str, float]] = {
    ("celery-workers", "Pods asked for and ready", 0): {'{group="email"}': 3},
    ("celery-workers", "Pods asked for and ready", 1): {'{group="email"}': 3},
    ("celery-workers", "Autoscaler", 0): {'{group="email"}': 3},
    ("celery-workers", "Autoscaler", 2): {'{group="report"}': 5},
    ("celery-workers", "Restarts in half an hour", 0): {'{pod="shop-celery-worker-email-5d-x"}': 0},
    ("celery-workers", "Killed for memory", 0): {'{pod="shop-celery-worker-email-5d-x"}': 1},
    ("celery-workers", "KEDA's errors", 0): {
        '{scaledObject="shop-celery-worker-email"}': 1,
        '{scaledObject="shop-celery-worker-report"}': 2,
    },
    ("celery-overview", "Pods by group", 0): {'{group="email"}': 3},
}
MARK = f"{{{HERE}, {WORKER}}}"


def dashboard(uid: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "grafana" / "dashboards" / f"{uid}.json").read_text(encoding="utf-8"))
    return found


def plays(folder: Path, expr: str, minute: int, expected: dict[str, float]) -> None:
    samples = [{"labels": labels, "value": value} for labels, value in expected.items()]
    check = {"expr": fill(expr, VALUES), "eval_time": f"{minute}m", "exp_samples": samples}
    series = [{"series": name, "values": values} for name, values in SERIES.items()]
    case = {"tests": [{"interval": "30s", "input_series": series, "promql_expr_test": [check]}]}
    (folder / "case.yaml").write_text(json.dumps(case), encoding="utf-8")
    command = [str(toolbox.find("promtool")), "test", "rules", str(folder / "case.yaml")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("key", PANELS, ids=lambda key: f"{key[0]}: {key[1]} {key[2]}")
def test_a_panel_shows_what_is_told(tmp_path: Path, key: tuple[str, str, int]) -> None:
    uid, title, place = key
    [panel] = [one for one in panels(dashboard(uid)) if one["title"] == title]
    plays(tmp_path, panel["targets"][place]["expr"], 6, PANELS[key])


@pytest.mark.parametrize(
    ("name", "minute", "expected"),
    [
        ("Scaling", 3, {MARK: 1}),
        ("Scaling", 6, {}),
        # More replicas are a new generation, and no deploy.
        ("Deploys", 3, {}),
        ("Deploys", 6, {MARK: 1}),
    ],
)
def test_a_mark_is_set_when_it_happened(tmp_path: Path, name: str, minute: int, expected: dict[str, float]) -> None:
    [mark] = [one for one in dashboard("celery-overview")["annotations"]["list"] if one["name"] == name]
    plays(tmp_path, mark["expr"], minute, expected)
