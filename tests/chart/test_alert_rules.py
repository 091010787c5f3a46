"""The chart packs the rules of files/rules: those whose numbers something tells, and for its own release alone."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import toolbox
from tests.support.helm import CHART, IMAGE, PREFIX, render

NAME = f"{PREFIX}-monitoring"
ON: dict[str, Any] = {
    "exporter": {"enabled": True},
    "metrics": {"enabled": True},
    "monitoring": {"prometheusRule": {"enabled": True}},
    "workers": {"defaults": {"autoscaling": {"engine": "keda"}}},
}
FILES = [
    yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted((CHART / "files" / "rules").glob("*.yaml"))
]
ALL = {rule["alert"] for file in FILES for group in file["groups"] for rule in group["rules"] if "alert" in rule}


def with_rules(**values: Any) -> dict[str, Any]:
    return _merged(ON, values)


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    both = {name: _merged(old[name], value) for name, value in new.items() if isinstance(value, dict) and name in old}
    return old | new | both


def groups(values: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    """Return the rule groups that the chart renders."""
    objects = render(values, **options)
    (rule,) = objects.of("PrometheusRule").values()
    found: list[dict[str, Any]] = rule["spec"]["groups"]
    return found


def alerts(values: dict[str, Any]) -> set[str]:
    return {rule["alert"] for group in groups(values) for rule in group["rules"] if "alert" in rule}


def notes(values: dict[str, Any]) -> str:
    """Return what Helm says after an installation, with every word parted by one blank."""
    command = [str(toolbox.find("helm")), "install", "shop", str(CHART), "--dry-run=client", "--values", "-"]
    ran = subprocess.run(command, input=json.dumps(IMAGE | values), capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return " ".join(ran.stdout.partition("NOTES:")[2].split())


def test_by_default_there_are_no_rules() -> None:
    assert render().of("PrometheusRule") == {}
    assert "Alerts that are left out" not in notes({})


def test_with_every_source_there_is_every_alert_and_nothing_is_left_out() -> None:
    assert alerts(ON) == ALL
    assert "Alerts that are left out" not in notes(ON)


def test_the_labels_by_which_a_prometheus_selects_rules_are_put_on() -> None:
    values = with_rules(monitoring={"prometheusRule": {"labels": {"release": "prometheus"}}})
    assert render(values)["PrometheusRule", NAME]["metadata"]["labels"]["release"] == "prometheus"


@pytest.mark.parametrize(
    ("off", "lost", "kept", "write"),
    [
        ({"metrics": {"enabled": False}}, "CeleryTaskFails", "CeleryRedisDown", "metrics.enabled: true"),
        ({"exporter": {"enabled": False}}, "CeleryRedisDown", "CeleryTaskFails", "exporter.enabled: true"),
        ({"exporter": {"kind": "celery-exporter"}}, "CeleryRedisDown", "CeleryTaskFails", "exporter.kind: own"),
        ({"beat": {"enabled": False}}, "CeleryBeatSilent", "CeleryRedisDown", "beat.enabled: true"),
        (
            {"monitoring": {"kubeStateMetrics": False}},
            "CeleryPodRestarting",
            "CeleryScalerFailing",
            "monitoring.kubeStateMetrics: true",
        ),
        ({"monitoring": {"keda": False}}, "CeleryScalerFailing", "CeleryScalerInactive", "monitoring.keda: true"),
        (
            {"workers": {"defaults": {"autoscaling": {"engine": "hpa"}}}},
            "CeleryScalerFailing",
            "CeleryScalerInactive",
            "autoscaling.engine: keda",
        ),
        (
            {"workers": {"defaults": {"autoscaling": {"engine": "none"}}}},
            "CeleryGroupAtMaximum",
            "CeleryPodRestarting",
            "an autoscaling.engine",
        ),
    ],
)
def test_an_alert_whose_numbers_nothing_tells_is_left_out_and_the_notes_say_so(
    off: dict[str, Any], lost: str, kept: str, write: str
) -> None:
    values = with_rules(**off)
    found = alerts(values)
    assert lost not in found
    assert kept in found
    said = notes(values).partition("Alerts that are left out")[2]
    assert write in said
    assert {name for name in ALL if name in said.replace(",", " ").replace(":", " ").split()} == ALL - found


def test_links_lead_to_where_people_read_the_runbook() -> None:
    url = "https://wiki.example.com/runbook"
    values = with_rules(monitoring={"runbookUrl": url, "grafanaUrl": "https://grafana.example.com/"})
    links = {
        rule["annotations"]["runbook_url"] for group in groups(values) for rule in group["rules"] if "alert" in rule
    }
    assert links == {f"{url}#{alert.lower()}" for alert in ALL}
    shown = {
        rule["annotations"]["dashboard_url"] for group in groups(values) for rule in group["rules"] if "alert" in rule
    }
    assert {link.partition("/d/")[0] for link in shown} == {"https://grafana.example.com"}


def test_templates_of_prometheus_pass_through_helm() -> None:
    said = {rule["alert"]: rule for group in groups(ON) for rule in group["rules"] if "alert" in rule}
    assert "{{ $labels.queue_name }}" in said["CeleryQueueTaskLate"]["annotations"]["summary"]


@pytest.mark.parametrize(("release", "namespace"), [("shop", "tasks"), ("celery", "celery")])
def test_promtool_takes_what_the_chart_makes_of_the_rules(tmp_path: Path, release: str, namespace: str) -> None:
    path = tmp_path / "rules.yaml"
    found = groups(ON, release=release, namespace=namespace)
    path.write_text(yaml.safe_dump({"groups": found}), encoding="utf-8")
    promtool("check", "rules", "--lint=all", "--lint-fatal", str(path))
    assert '=~".*' not in path.read_text(encoding="utf-8")
    assert '=~".+"' not in path.read_text(encoding="utf-8")


# A release of the same name in another namespace, one beside it whose name begins with its own, and one that Prometheus
# reads without the label of the release.
@pytest.mark.parametrize(
    ("namespace", "release", "prefix", "rings"),
    [
        ("tasks", "celery", "celery", True),
        ("tasks", "", "celery", True),
        ("other", "celery", "celery", False),
        ("tasks", "celery-b", "celery-b", False),
    ],
)
def test_a_release_rings_for_itself_and_for_no_other(
    tmp_path: Path, namespace: str, release: str, prefix: str, rings: bool
) -> None:
    found = groups(ON, release="celery", namespace="tasks")
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": found}), encoding="utf-8")
    own = f'namespace="{namespace}",app_kubernetes_io_instance="{release}"'
    theirs = f'namespace="{namespace}"'
    pod = f'{theirs},pod="{prefix}-worker-email-1",container="worker"'
    series = {
        f"celery_queue_length{{{own},queue_name='email'}}": "5x60",
        f"celery_exporter_redis_up{{{own}}}": "0x60",
        f"celery_task_failed_total{{{own},name='tasks.mail',exception='E'}}": "0+5x60",
        f"kube_pod_container_status_restarts_total{{{pod}}}": "0+1x60",
        f"keda_scaled_object_errors_total{{{theirs},scaledObject='{prefix}-worker-email'}}": "0+5x60",
    }
    wanted = [
        "CeleryQueueWithoutConsumers",
        "CeleryRedisDown",
        "CeleryTaskMostlyFails",
        "CeleryPodRestarting",
        "CeleryScalerFailing",
    ]
    samples = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(wanted)] if rings else []
    query = f'count by (alertname) (ALERTS{{alertstate="firing", alertname=~"{"|".join(wanted)}"}})'
    case = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": query, "eval_time": "40m", "exp_samples": samples}],
    }
    cases = {"rule_files": ["rules.yaml"], "group_eval_order": [group["name"] for group in found], "tests": [case]}
    (tmp_path / "cases.yaml").write_text(yaml.safe_dump(cases), encoding="utf-8")
    promtool("test", "rules", str(tmp_path / "cases.yaml"))


def test_the_monitors_put_on_the_label_by_which_rules_tell_releases_apart() -> None:
    monitors = {"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}}
    found = render(with_rules(monitoring=monitors)).of("PodMonitor", "ServiceMonitor")
    assert len(found) == 2
    for monitor in found.values():
        labels = monitor["spec"].get("podTargetLabels") or monitor["spec"].get("targetLabels")
        assert labels == ["app.kubernetes.io/instance"]


def promtool(*words: str) -> None:
    ran = subprocess.run([str(toolbox.find("promtool")), *words], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr
