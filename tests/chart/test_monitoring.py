"""helm/monitoring: each part has its switch, nobody has a right too many, and mistakes are told in a sentence."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import toolbox
from tests.support import helm
from tests.support.helm import LOGIN, MONITORING, Objects

PARTS = {
    "prometheus": "monitoring-prometheus",
    "alertmanager": "monitoring-alertmanager",
    "kubeStateMetrics": "monitoring-kube-state-metrics",
    "grafana": "monitoring-grafana",
}


def render(values: dict[str, Any] | None = None) -> Objects:
    """Return what the chart renders as release `monitoring`, with a login for Grafana unless `values` speak of it."""
    return helm.render({**LOGIN, **(values or {})}, chart=MONITORING, release="monitoring")


def refused(values: dict[str, Any]) -> str:
    return helm.refusal({**LOGIN, **values}, chart=MONITORING, release="monitoring")


ENVIRONMENT = yaml.safe_load((MONITORING / "environments" / "kind.yaml").read_text(encoding="utf-8"))
EVERYTHING = {
    "keda": {"enabled": True},
    "imagePullSecrets": [{"name": "pull"}],
    "prometheus": {
        "persistence": {"enabled": True, "storageClassName": "fast"},
        "externalUrl": "https://p.example.com",
    },
    "alertmanager": {"existingSecret": "alertmanager", "externalUrl": "https://a.example.com"},
}


@pytest.fixture(params=[{}, ENVIRONMENT, EVERYTHING], ids=["defaults", "kind", "everything"])
def objects(request: pytest.FixtureRequest) -> Objects:
    return render(request.param)


def test_every_pod_passes_pod_security_restricted_and_has_a_limit_of_memory(objects: Objects) -> None:
    assert objects.pods
    for name, pod in objects.pods.items():
        security = pod["spec"]["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert security["runAsUser"] == security["runAsGroup"] == security["fsGroup"] > 0, name
        assert not any("hostPath" in volume for volume in pod["spec"].get("volumes", [])), name
    for name, container in objects.containers.items():
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert "memory" in container["resources"]["limits"], name
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container), name


def test_who_reads_the_cluster_may_look_at_some_kinds_in_some_namespaces_and_no_more(objects: Objects) -> None:
    assert objects.of("ClusterRole", "ClusterRoleBinding") == {}
    with_token = {name for name, pod in objects.pods.items() if pod["spec"]["automountServiceAccountToken"]}
    assert with_token == {PARTS["prometheus"], PARTS["kubeStateMetrics"]}
    for role in objects.of("Role").values():
        for rule in role["rules"]:
            assert set(rule["verbs"]) <= {"get", "list", "watch"}
            assert set(rule["resources"]) <= {"pods", "deployments", "horizontalpodautoscalers"}
    for binding in objects.of("RoleBinding").values():
        role = objects["Role", binding["roleRef"]["name"]]
        assert role["metadata"]["namespace"] == binding["metadata"]["namespace"]
        assert [one["name"] for one in binding["subjects"]] == [
            objects.pods[one["name"]]["spec"]["serviceAccountName"] for one in binding["subjects"]
        ]


def test_rights_in_other_namespaces_are_named_after_the_release_so_that_two_can_look_there() -> None:
    roles = render({"namespaces": ["other"]}).of("Role")
    there = {(name, role["metadata"]["namespace"]) for name, role in roles.items()}
    own = {("monitoring-prometheus", helm.NAMESPACE), ("monitoring-kube-state-metrics", helm.NAMESPACE)}
    prefix = f"{helm.NAMESPACE}-monitoring"
    assert there == own | {(f"{prefix}-prometheus", "other"), (f"{prefix}-kube-state-metrics", "other")}
    (keda,) = render({"keda": {"enabled": True}, "kubeStateMetrics": {"enabled": False}}).of("Role").keys() - dict(own)
    assert keda == f"{prefix}-prometheus"


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_switched_off_leaves_nothing_and_nobody_asks_for_it(part: str) -> None:
    off = {part: {"enabled": False}}
    if part == "prometheus":
        off |= {"alertmanager": {"enabled": False}, "grafana": {**LOGIN["grafana"], "prometheusUrl": "http://p:9090"}}
    objects = render(off)
    assert [name for _, name in objects if name.startswith(PARTS[part])] == []
    assert PARTS[part] not in objects.text
    others = set(PARTS.values()) - {PARTS[part]} - ({PARTS["alertmanager"]} if part == "prometheus" else set())
    assert set(objects.workloads) == others


def test_a_switched_on_part_is_there() -> None:
    assert set(render().workloads) == set(PARTS.values())


def test_prometheus_mounts_the_rules_of_each_release_and_reads_what_it_mounts() -> None:
    objects = render({"releases": ["shop-celery", "celery"]})
    pod = objects["StatefulSet", PARTS["prometheus"]]["spec"]["template"]["spec"]
    (rules,) = (volume for volume in pod["volumes"] if volume["name"] == "rules")
    assert [one["configMap"] for one in rules["projected"]["sources"]] == [
        {"name": "shop-celery-rules", "optional": True},
        {"name": "celery-rules", "optional": True},
    ]
    (where,) = (mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == "rules")
    assert configuration(objects)["rule_files"] == [f"{where}/*.yaml"]


def configuration(objects: Objects) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(objects["ConfigMap", PARTS["prometheus"]]["data"]["prometheus.yml"])
    return found


@pytest.mark.parametrize("values", [{}, ENVIRONMENT, EVERYTHING], ids=["defaults", "kind", "everything"])
def test_promtool_takes_the_configuration(values: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "prometheus.yml"
    path.write_text(render(values)["ConfigMap", PARTS["prometheus"]]["data"]["prometheus.yml"], encoding="utf-8")
    command = [str(toolbox.find("promtool")), "check", "config", "--syntax-only", str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_what_is_read_of_pods_has_the_labels_that_rules_and_dashboards_want() -> None:
    pods = next(job for job in configuration(render())["scrape_configs"] if job["job_name"] == "pods")
    given = {rule.get("target_label") or rule["regex"] for rule in pods["relabel_configs"]}
    assert {"namespace", "pod", "__meta_kubernetes_pod_label_(app_kubernetes_io_instance)"} <= given


def test_keda_and_other_namespaces_are_looked_at_when_asked_for() -> None:
    def jobs(values: dict[str, Any]) -> dict[str, Any]:
        return {job["job_name"]: job for job in configuration(render(values))["scrape_configs"]}

    looked_at = jobs({"namespaces": ["other"]})["pods"]["kubernetes_sd_configs"][0]["namespaces"]["names"]
    assert looked_at == [helm.NAMESPACE, "other"]
    keda = jobs(EVERYTHING)["keda"]
    assert keda["kubernetes_sd_configs"][0]["namespaces"]["names"] == ["keda"]
    # What it tells of other people's namespaces is left out, and what is of none is kept.
    (kept,) = keda["metric_relabel_configs"]
    told = {name for name in ("", helm.NAMESPACE, "strangers") if re.fullmatch(kept["regex"], name)}
    assert (kept["action"], kept["source_labels"]) == ("keep", ["exported_namespace"])
    assert told == {"", helm.NAMESPACE}
    assert "keda" not in jobs({})


def test_grafanas_login_is_in_files_of_a_secret_and_nowhere_else() -> None:
    (container,) = render()["Deployment", PARTS["grafana"]]["spec"]["template"]["spec"]["containers"]
    for item in container["env"]:
        assert "PASSWORD" not in item["name"] or item["name"].endswith("__FILE")


def test_an_alertmanagers_own_secret_takes_the_place_of_the_config_map() -> None:
    objects = render({"alertmanager": {"existingSecret": "mine"}})
    assert ("ConfigMap", PARTS["alertmanager"]) not in objects
    volumes = objects["Deployment", PARTS["alertmanager"]]["spec"]["template"]["spec"]["volumes"]
    assert volumes[0] == {"name": "config", "secret": {"secretName": "mine"}}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"grafana": {}}, "grafana.existingSecret is empty, and Grafana has no login: make one with `kubectl create"),
        (
            {"prometheus": {"enabled": False}, "alertmanager": {"enabled": False}},
            "write prometheus.enabled: true, or where yours is",
        ),
        ({"prometheus": {"enabled": False}}, "no alert comes to it: write prometheus.enabled: true"),
        (
            {"alertmanager": {"config": {"receivers": [{"slack_configs": [{"api_url": "https://x"}]}]}}},
            "alertmanager.config holds api_url, and a ConfigMap is no place for a secret",
        ),
        ({"prometheus": {"service": {"nodePort": 30900}}}, "write prometheus.service.type: NodePort"),
        (
            {part: {"enabled": False} for part in PARTS},
            "Nothing is enabled: write enabled: true",
        ),
        ({"prometheus": {"persistence": {"size": "500Mi"}}}, "size"),
        ({"releases": []}, "releases"),
        ({"grafanna": {}}, "grafanna"),
        ({"fullnameOverride": "m" * 41}, "fullnameOverride"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(values: dict[str, Any], sentence: str) -> None:
    assert sentence in refused(values)


@pytest.mark.parametrize(
    "receiver",
    [
        {"webhook_configs": [{"url": "https://hooks.example.com/word"}]},
        {"sns_configs": [{"sigv4": {"secret_key": "word"}}]},
        {"rocketchat_configs": [{"token_id": "word"}]},
        {"pagerduty_configs": [{"routing_key": "word"}]},
        {"email_configs": [{"auth_password": "word"}]},
        {"webhook_configs": [{"url_file": "/u", "http_config": {"authorization": {"credentials": "word"}}}]},
        {"webhook_configs": [{"url_file": "/u", "http_config": {"http_headers": {"X": {"secrets": ["word"]}}}}]},
        {"webhook_configs": [{"url_file": "/u", "http_config": {"tls_config": {"key": "word"}}}]},
    ],
)
def test_a_receiver_with_a_secret_in_it_is_refused(receiver: dict[str, Any]) -> None:
    config = {"receivers": [{"name": "team", **receiver}]}
    assert "a ConfigMap is no place for a secret" in refused({"alertmanager": {"config": config}})


@pytest.mark.parametrize("name", ["m" * 45, "7monitoring"])
def test_a_name_that_no_service_can_have_is_refused(name: str) -> None:
    assert "set fullnameOverride to" in helm.refusal(LOGIN, chart=MONITORING, release=name)


def test_a_file_for_a_secret_is_none() -> None:
    config = {"receivers": [{"name": "nobody", "slack_configs": [{"api_url_file": "/etc/slack"}]}]}
    assert render({"alertmanager": {"config": config}})


@pytest.mark.parametrize("tool", ["helm", "helm3"])
def test_both_helms_render_the_same_objects(tool: str) -> None:
    with_other = helm.text(LOGIN, chart=MONITORING, release="monitoring", helm=tool)
    assert Objects(with_other) == render()


def test_the_notes_say_when_nobody_is_told_of_an_alert() -> None:
    command = [str(toolbox.find("helm")), "install", "monitoring", str(MONITORING), "--dry-run=client", "--values", "-"]
    told = subprocess.run(command, input=json.dumps(LOGIN), capture_output=True, text=True, timeout=60)
    assert told.returncode == 0, told.stderr
    assert "WARNING: nobody is told of an alert" in told.stdout
    mine = json.dumps({**LOGIN, "alertmanager": {"existingSecret": "mine"}})
    told = subprocess.run(command, input=mine, capture_output=True, text=True, timeout=60)
    assert told.returncode == 0, told.stderr
    assert "nobody is told" not in told.stdout


def test_an_outage_silences_the_alerts_of_its_own_release_only() -> None:
    config = yaml.safe_load(render()["ConfigMap", PARTS["alertmanager"]]["data"]["alertmanager.yml"])
    (rule,) = config["inhibit_rules"]
    # What rules put on each alert: helm/celery's _rules.tpl.
    assert set(rule["equal"]) == {"namespace", "app_kubernetes_io_instance"} <= {*config["route"]["group_by"]}
