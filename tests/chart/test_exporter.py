"""The exporter of a release reads its broker as one who may only read, and is read by the scaler."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from app.exporter.config import Settings
from app.runtime.keys import Keys
from tests.chart.test_network import ANYWHERE, DNS, KEDA, NEIGHBOUR, STRANGER, Peer, allowed, pod
from tests.support.helm import PREFIX, Objects, environment, refusal, render

ON = {"exporter": {"enabled": True}}
NAME = f"{PREFIX}-exporter"
KINDS = {"Deployment", "Service", "NetworkPolicy"}


def exporter(values: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the exporter's container."""
    container: dict[str, Any] = render({**ON, **(values or {})}).containers[f"{NAME}/exporter"]
    return container


def variables(values: dict[str, Any] | None = None) -> dict[str, Any]:
    return environment(exporter(values))


def settings(values: dict[str, Any] | None = None) -> Settings:
    """Return what the program makes of the variables that the chart gives it."""
    found = {name: "word" if isinstance(value, dict) else value for name, value in variables(values).items()}
    found["CELERY_BROKER_URL"] = found["CELERY_BROKER_URL"].replace("$(CELERY_BROKER_PASSWORD)", "word")
    return Settings.from_environment(found)


def made_for(objects: Objects) -> set[str]:
    return {kind for kind, name in objects if name == NAME}


def test_it_is_there_when_it_is_switched_on() -> None:
    assert made_for(render()) == set()
    assert made_for(render(ON)) == KINDS
    assert made_for(render({**ON, "networkPolicy": {"enabled": False}})) == KINDS - {"NetworkPolicy"}


@pytest.mark.parametrize("kind", ["own", "celery-exporter"])
def test_it_changes_nobody_else(kind: str) -> None:
    objects = render({"exporter": {"enabled": True, "kind": kind}})
    assert {key: thing for key, thing in objects.items() if key[1] != NAME} == dict(render())


def test_there_is_one_and_it_runs_the_module() -> None:
    deployment = render(ON)["Deployment", NAME]
    assert deployment["spec"]["replicas"] == 1
    assert exporter()["command"] == ["python", "-m", "app.exporter"]
    own = {"exporter": {"enabled": True, "module": "shop.exporter"}, "app": {"runtime": "installed"}}
    assert exporter(own)["command"][-1] == "shop.exporter"


def test_it_knows_every_group_as_the_release_has_it() -> None:
    values = {
        "workers": {
            "defaults": {"autoscaling": {"targetWaitSeconds": 3}},
            "groups": {
                "email": {"concurrency": 9, "autoscaling": {"targetWaitSeconds": 0.5}},
                "alone": {"queues": ["a", "b"], "pool": "solo", "concurrency": 1, "unboundedPool": True},
            },
        }
    }
    groups = {group.name: group for group in settings(values).groups}
    assert set(groups) == render({**ON, **values}).groups
    assert (groups["email"].queues, groups["email"].slots, groups["email"].wait_seconds) == (("email",), 9, 0.5)
    assert (groups["alone"].queues, groups["alone"].slots, groups["alone"].wait_seconds) == (("a", "b"), 1, 3)
    assert {group.wait_seconds for group in settings().groups} == {5}, "the default"


def test_it_knows_what_a_task_may_wait_and_take() -> None:
    values = {
        "workers": {"groups": {"email": {"waitObjectiveSeconds": 300, "timeLimitSeconds": 70}}},
        "app": {"leaseSeconds": 45},
        "beat": {"lockSeconds": 20},
    }
    found = settings(values)
    groups = {group.name: group for group in found.groups}
    assert (groups["email"].objective_seconds, groups["email"].limit_seconds) == (300, 70)
    assert (groups["orders"].objective_seconds, groups["orders"].limit_seconds) == (60, 300)
    assert (found.lease, found.beat, found.beat_lock) == (45, True, 20)
    assert not settings({"beat": {"enabled": False}}).beat


def test_it_reads_the_keys_that_the_workers_write() -> None:
    values = {
        "broker": {"keyPrefix": "own:", "databases": {"broker": 7}},
        "app": {"priorities": {"enabled": True, "separator": "#"}},
    }
    assert settings().keys == Keys(f"tasks:{PREFIX}:")
    found = settings(values)
    assert found.keys == Keys("own:", (0, 3, 6, 9), "#")
    assert found.broker_url.endswith("/7")
    worker = environment(render({**ON, **values}).containers[f"{PREFIX}-worker-email/worker"])
    names = ("CELERY_KEY_PREFIX", "CELERY_PRIORITIES", "CELERY_PRIORITY_SEPARATOR")
    assert [worker[name] for name in names] == [variables(values)[name] for name in names]


def test_it_logs_in_as_the_scaler() -> None:
    found = variables()
    assert found["CELERY_BROKER_URL"].startswith("redis://scaler:$(CELERY_BROKER_PASSWORD)@")
    assert found["CELERY_BROKER_PASSWORD"]["secretKeyRef"] == {"name": PREFIX, "key": "scaler-password"}


@pytest.mark.parametrize(
    ("broker", "url", "key"),
    [
        ({"external": {"host": "r"}}, "redis://r:6379/0", None),
        (
            {"external": {"host": "r", "username": "shop"}, "existingSecret": "given"},
            "redis://shop:$(CELERY_BROKER_PASSWORD)@r:6379/0",
            "broker-password",
        ),
        (
            {"external": {"host": "r", "tls": True, "scalerUsername": "looker"}, "existingSecret": "given"},
            "rediss://looker:$(CELERY_BROKER_PASSWORD)@r:6379/0?ssl_cert_reqs=CERT_REQUIRED",
            "scaler-password",
        ),
    ],
    ids=["without a password", "with one user", "with TLS and two users"],
)
def test_it_reaches_an_external_broker_as_its_users_are(broker: dict[str, Any], url: str, key: str | None) -> None:
    found = variables({"broker": broker})
    assert found["CELERY_BROKER_URL"] == url
    assert found.get("CELERY_BROKER_PASSWORD", {}).get("secretKeyRef", {}).get("key") == key
    settings({"broker": broker})


def test_it_finds_the_master_through_sentinels() -> None:
    sentinel = {"masterName": "m", "hosts": ["s:26379", "t:26379"], "passwordKey": "sentinel-password"}
    values = {"broker": {"external": {"sentinel": sentinel}, "existingSecret": "given"}}
    assert settings(values).access.sentinel_master == "m"
    assert variables(values)["CELERY_SENTINEL_PASSWORD"]["secretKeyRef"]["key"] == "sentinel-password"


def test_it_checks_the_broker_with_the_given_authority() -> None:
    container = exporter({"broker": {"tls": {"enabled": True, "existingSecret": "tls"}}})
    assert environment(container)["CELERY_BROKER_CA_FILE"] == "/etc/celery/broker-tls/ca.crt"
    assert {"name": "broker-tls", "mountPath": "/etc/celery/broker-tls", "readOnly": True} in container["volumeMounts"]


def test_the_applications_variables_neither_lead_it_astray_nor_give_it_secrets() -> None:
    values = {
        "app": {
            "env": {"CELERY_BROKER_URL": "redis://other", "CELERY_BROKER_PASSWORD": "x", "TZ": "UTC"},
            "envFrom": [{"secretRef": {"name": "payment"}}],
        }
    }
    assert variables(values) == {**variables(), "TZ": "UTC"}
    assert "envFrom" not in exporter(values)
    own = {"exporter": {"enabled": True, "env": {"EXPORTER_GROUPS": "mine"}}}
    assert variables(own)["EXPORTER_GROUPS"] == "mine"


def test_its_port_is_the_programs() -> None:
    (port,) = exporter()["ports"]
    assert port == {"name": "http", "containerPort": settings().port}
    service = render({"exporter": {"enabled": True, "service": {"port": 80, "annotations": {"a": "b"}}}})[
        "Service", NAME
    ]
    assert service["spec"]["ports"] == [{"name": "http", "port": 80, "targetPort": "http"}]
    assert service["metadata"]["annotations"] == {"a": "b"}


def test_its_probes_ask_for_nothing_that_asks_redis() -> None:
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        path = exporter()[probe]["httpGet"]["path"]
        assert re.fullmatch(r"/metrics\?name%5B%5D=celery_exporter_up", path), probe


def test_it_reaches_the_broker_and_dns_and_nothing_else() -> None:
    objects = render(ON)
    source = pod(objects, "exporter")
    assert allowed(objects, source, pod(objects, "broker"), 6379)
    assert allowed(objects, source, DNS, 53)
    assert not allowed(objects, source, Peer(address=ANYWHERE), 443)
    assert not allowed(objects, source, pod(objects, "flower"), 5555)
    outside = render({**ON, "broker": {"external": {"host": "r.example.com", "port": 6380}}})
    assert allowed(outside, pod(outside, "exporter"), Peer(address=ANYWHERE), 6380)


def test_it_is_reached_by_the_scaler_and_prometheus_and_nobody_else() -> None:
    objects = render(ON)
    prometheus = Peer(namespace="monitoring")
    for peer in (KEDA, prometheus):
        assert allowed(objects, peer, pod(objects, "exporter"), 9808)
    alone = render({**ON, "networkPolicy": {"scalers": []}})
    assert allowed(alone, prometheus, pod(alone, "exporter"), 9808)
    assert not allowed(alone, KEDA, pod(alone, "exporter"), 9808)
    for peer in (NEIGHBOUR, STRANGER, pod(objects, "worker-email"), Peer(address=ANYWHERE)):
        assert not allowed(objects, peer, pod(objects, "exporter"), 9808)


def test_where_nobody_is_named_nobody_reaches_it() -> None:
    # A rule with an empty list of peers would let everybody in.
    policy = render({**ON, "networkPolicy": {"scalers": [], "prometheus": []}})["NetworkPolicy", NAME]["spec"]
    assert "Ingress" in policy["policyTypes"]
    assert policy.get("ingress", []) == []


def test_a_misspelled_key_is_refused() -> None:
    for wrong in ({"replicas": 2}, {"service": {"nodePort": 30000}}, {"modul": "x"}):
        assert next(iter(wrong)) in refusal({"exporter": {"enabled": True, **wrong}})


def test_the_groups_are_one_json_object_in_one_line() -> None:
    text = variables()["EXPORTER_GROUPS"]
    assert "\n" not in text
    seconds = {"waitSeconds": 5, "objectiveSeconds": 60, "limitSeconds": 600}
    assert json.loads(text)["email"] == {"queues": ["email"], "slots": 2, **seconds}


# Prometheus finds it.


def test_a_service_monitor_selects_its_service_and_no_other() -> None:
    monitoring = {"serviceMonitor": {"enabled": True, "interval": "30s", "labels": {"release": "prometheus"}}}
    objects = render({**ON, "monitoring": monitoring})
    monitor = objects["ServiceMonitor", NAME]
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    services = objects.of("Service")
    assert [name for name, thing in services.items() if wanted <= thing["metadata"]["labels"].items()] == [NAME]
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint == {"port": "http", "path": "/metrics", "interval": "30s"}
    assert endpoint["port"] in [port["name"] for port in services[NAME]["spec"]["ports"]]
    assert not render(ON).of("ServiceMonitor")


def test_annotations_name_its_port() -> None:
    pods = render({**ON, "monitoring": {"annotations": True}}).pods
    assert pods[NAME]["metadata"]["annotations"]["prometheus.io/port"] == str(settings().port)
    assert "annotations" not in render(ON).pods[NAME]["metadata"]
