"""docker/compose.yaml says again what the chart says: here they are compared, and what differs has its reason."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.config import Settings
from app.queues import GROUPS
from scripts.compose.place import FILE, MOUNTED, PORTS, PREFIX, PROFILES, SECRETS, rules, users
from scripts.stack import place as stack
from scripts.stack.processes import STOP_MARGIN, WORKER_FLAGS, exporter_groups
from scripts.versions import pinned
from tests.conftest import ROOT
from tests.support.helm import Objects, container, environment, render

WORKERS = [f"worker-{group}" for group in GROUPS]
# The components that chart and Compose both have.
SHARED = [*WORKERS, "beat", "flower", "api", "exporter", "broker"]
ONLY_COMPOSE = {
    "prometheus": "a cluster has one already, or helm/monitoring",
    "grafana": "the same",
    "sandbox": "a laptop has no mail server and no payment gateway",
    "smoke": "the pod of helm test",
}
# Variables of the chart that no container here has, and variables here that the chart has not.
BY_FILE = {"CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "STORE_URL", "API_TOKEN"}
WITHOUT = {
    "CELERY_BROKER_PASSWORD": "it stands in the URLs' files",
    "FLOWER_PASSWORD": "docker/flowerconfig.py reads it from its file",
    "FLOWER_BASIC_AUTH": "the same",
    "REDISCLI_AUTH": "the probe reads it from its file",
}
BESIDES = {
    "FAULT_TASKS": "one sets it in the shell; in the chart it is one of app.env",
    "ORDER_RATE_LIMIT": "the same",
    "SMTP_URL_FILE": "the sandbox, or a server of the user's",
    "PAYMENT_GATEWAY_URL": "the same",
    "NOTIFICATION_WEBHOOK_URL": "the same",
}


@cache
def composed() -> dict[str, Any]:
    """Return the file as Compose understands it, with all profiles and no settings of a shell's."""
    program = Path(sys.executable).with_name("docker-compose")
    shell = {"PATH": os.environ["PATH"], "APP_IMAGE": "app", "SANDBOX_IMAGE": "sandbox"}
    command = [program, "--env-file", ROOT / "versions.env", "--file", FILE, "--profile", "*", "config"]
    ran = subprocess.run([*command, "--format", "json"], env=shell, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    # What Compose prints is to be read by Compose: a dollar is written twice.
    return dict(json.loads(ran.stdout.replace("$$", "$")))


def service(name: str) -> dict[str, Any]:
    return dict(composed()["services"][name])


@cache
def chart() -> Objects:
    """Return the release that has the same names and keys, with the pages that Prometheus reads."""
    values = {"exporter": {"enabled": True}, "metrics": {"enabled": True}}
    return render(values, release="celery", namespace="compose")


def pod(name: str) -> dict[str, Any]:
    found: dict[str, Any] = chart().pods[f"celery-{name}"]["spec"]
    return found


def twin(name: str) -> dict[str, Any]:
    """Return the chart's container of a component."""
    return container(chart().workloads[f"celery-{name}"], name.partition("-")[0])


def seconds(text: str) -> float:
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)([hms])", text))


def test_every_component_of_the_chart_is_a_service() -> None:
    there = {name.removeprefix("celery-") for name in chart().workloads}
    assert there == set(SHARED)
    assert set(composed()["services"]) == there | set(ONLY_COMPOSE)


@pytest.mark.parametrize("name", SHARED)
def test_a_service_runs_the_charts_command(name: str) -> None:
    assert service(name)["command"] == twin(name)["command"]


@pytest.mark.parametrize("group", GROUPS)
def test_a_worker_takes_the_queues_of_its_group(group: str) -> None:
    command = service(f"worker-{group}")["command"]
    assert command[command.index("-Q") + 1] == ",".join(GROUPS[group].queues)
    assert command[-len(WORKER_FLAGS) :] == list(WORKER_FLAGS)


@pytest.mark.parametrize("name", SHARED)
def test_a_service_has_the_charts_variables(name: str) -> None:
    there, here = environment(twin(name)), service(name).get("environment", {})
    wanted = {f"{key}_FILE" if key in BY_FILE else key for key in there} - set(WITHOUT)
    assert set(here) - set(BESIDES) == wanted
    same = {key: value for key, value in there.items() if key not in BY_FILE | set(WITHOUT)}
    found = {key: here[key] for key in same}
    for each in (same, found):
        each |= {"EXPORTER_GROUPS": json.loads(each["EXPORTER_GROUPS"])} if "EXPORTER_GROUPS" in each else {}
    assert found == same


def test_a_variable_that_a_file_takes_the_place_of_is_one_of_the_application() -> None:
    secret = {item.metadata["name"] for item in fields(Settings) if item.metadata["secret"]}
    assert secret >= BY_FILE
    defaults = {item.metadata["name"]: item.metadata["default"] for item in fields(Settings)}
    for name in ("FAULT_TASKS", "ORDER_RATE_LIMIT"):
        assert service("worker-default")["environment"][name] == defaults[name]


def test_the_exporter_knows_the_groups_of_the_local_stack() -> None:
    assert json.loads(service("exporter")["environment"]["EXPORTER_GROUPS"]) == exporter_groups()


@pytest.mark.parametrize("name", SHARED)
def test_a_service_has_the_charts_memory(name: str) -> None:
    limit = twin(name)["resources"]["limits"]["memory"]
    assert int(service(name)["deploy"]["resources"]["limits"]["memory"]) == int(limit.removesuffix("Mi")) << 20


@pytest.mark.parametrize("name", SHARED)
def test_a_service_has_as_long_to_end_as_its_pod(name: str) -> None:
    # 30 is what Kubernetes gives where nothing is said.
    assert seconds(service(name)["stop_grace_period"]) == pod(name).get("terminationGracePeriodSeconds", 30)


@pytest.mark.parametrize("group", GROUPS)
def test_a_worker_has_as_long_to_end_as_its_longest_task_takes(group: str) -> None:
    assert seconds(service(f"worker-{group}")["stop_grace_period"]) == GROUPS[group].time_limit + STOP_MARGIN


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_is_stopped_when_it_hears_the_signal(name: str) -> None:
    assert service(name)["pre_stop"] == [twin(name)["lifecycle"]["preStop"]["exec"]]


def as_shell(probe: dict[str, Any]) -> str:
    """Return a probe's command as one shell would take it."""
    command = probe["exec"]["command"]
    return str(command[2] if command[:2] == ["sh", "-c"] else " ".join(command))


@pytest.mark.parametrize("name", SHARED)
def test_a_health_check_asks_what_the_charts_probes_ask(name: str) -> None:
    found, there = service(name)["healthcheck"], twin(name)
    if "httpGet" in there["livenessProbe"]:
        port = there["ports"][0]["containerPort"]
        assert there["readinessProbe"]["httpGet"] == there["livenessProbe"]["httpGet"]
        address = f"http://127.0.0.1:{port}{there['livenessProbe']['httpGet']['path']}"
        assert f"urlopen('{address}')" in found["test"][-1]
    elif name == "broker":
        assert found["test"][-1].endswith(f"; {as_shell(there['livenessProbe'])}")
    else:
        probes = [there[kind] for kind in ("readinessProbe", "livenessProbe") if kind in there]
        assert found["test"] == ["CMD", "sh", "-c", " && ".join(map(as_shell, probes))]
    assert seconds(found["timeout"]) == there["livenessProbe"]["timeoutSeconds"]
    start = there["startupProbe"]
    assert seconds(found["start_period"]) == start["periodSeconds"] * start["failureThreshold"]


@pytest.mark.parametrize("name", SHARED)
def test_a_container_may_do_what_its_pod_may(name: str) -> None:
    found, security = service(name), pod(name)["securityContext"]
    assert found["user"] == f"{security['runAsUser']}:{security['runAsGroup']}"
    assert twin(name)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }


@pytest.mark.parametrize("name", [*SHARED, *ONLY_COMPOSE])
def test_every_container_is_hardened_and_bounded(name: str) -> None:
    found = service(name)
    assert (found["read_only"], found["cap_drop"]) == (True, ["ALL"])
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert found["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
    assert int(found["deploy"]["resources"]["limits"]["memory"]) >= 128 << 20
    assert found["user"].partition(":")[0] != "0"
    assert not found.get("privileged")


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_may_write_where_its_pod_may(name: str) -> None:
    places = {mount["mountPath"] for mount in twin(name)["volumeMounts"]}
    assert {mount.partition(":")[0] for mount in service(name)["tmpfs"]} == places


def test_the_broker_has_the_charts_files() -> None:
    there = chart()["ConfigMap", "celery-broker"]["data"]
    assert (FILE.parent / "broker.conf").read_text(encoding="utf-8").strip() == there["broker.conf"].strip()
    assert users().strip() == there["users.acl"].strip()
    sources = {mount["target"]: Path(mount["source"]) for mount in service("broker")["volumes"]}
    start = sources["/etc/broker/config/start.sh"].read_text(encoding="utf-8")
    assert start.strip() == there["start.sh"].strip()
    assert service("worker-default")["environment"]["CELERY_KEY_PREFIX"] == PREFIX


def test_the_smoke_test_is_that_of_helm() -> None:
    there = chart().pods["celery-test"]["spec"]["containers"][0]["command"]
    assert service("smoke")["command"] == [word.replace("http://celery-", "http://") for word in there]


@pytest.mark.parametrize("name", PORTS)
def test_a_port_is_published_on_this_machine_alone(name: str) -> None:
    (port,) = service(name)["ports"]
    assert (port["host_ip"], int(port["published"])) == ("127.0.0.1", PORTS[name][1])
    if name in ("api", "flower", "exporter"):
        assert port["target"] == twin(name)["ports"][0]["containerPort"] == PORTS[name][1]
    if name in stack.PORTS:
        assert PORTS[name][1] == stack.PORTS[name][1]


def test_nothing_else_is_published() -> None:
    assert {name for name, found in composed()["services"].items() if "ports" in found} == set(PORTS)


def neighbours(name: str) -> set[str]:
    """Return the services that share a network with one on which containers reach each other."""
    networks = set(service(name)["networks"]) - {"edge"}
    others = composed()["services"].items()
    return {other for other, found in others if networks & set(found["networks"]) and other != name}


def test_networks_let_those_talk_who_need_to() -> None:
    clients = {*WORKERS, "beat", "flower", "api", "exporter", "smoke"}
    assert neighbours("broker") == clients
    assert neighbours("prometheus") == {*WORKERS, "beat", "api", "exporter", "grafana"}
    assert neighbours("grafana") == {"prometheus"}
    assert neighbours("sandbox") == set(WORKERS)
    networks = composed()["networks"]
    closed = {name for name, network in networks.items() if network.get("internal")}
    assert closed == {"broker", "pages", "dashboards"}
    assert networks["edge"]["driver_opts"] == {
        "com.docker.network.bridge.enable_icc": "false",
        "com.docker.network.bridge.enable_ip_masquerade": "false",
    }
    out = {name for name, found in composed()["services"].items() if "world" in found["networks"]}
    assert out == {*WORKERS, "sandbox"}


def test_who_shares_the_edge_is_reached_by_a_name_that_is_not_on_it() -> None:
    """On edge nobody answers, and a plain name stands for an address on any network that two share."""
    read = yaml.safe_load((FILE.parent / "prometheus.yaml").read_text(encoding="utf-8"))["scrape_configs"]
    names = {name for job in read for name in job["dns_sd_configs"][0]["names"]}
    assert names == {*WORKERS, "beat", "api.pages", "exporter.pages"}
    for name in ("api", "exporter"):
        assert service(name)["networks"]["pages"]["aliases"] == [f"{name}.pages"]
    address = service("grafana")["environment"]["PROMETHEUS_URL"]
    assert [f"http://{alias}:9090" for alias in service("prometheus")["networks"]["dashboards"]["aliases"]] == [address]
    ports = {job["job_name"]: job["dns_sd_configs"][0]["port"] for job in read}
    metrics = twin("beat")["ports"][0]["containerPort"]
    assert ports == {
        "workers": metrics,
        "beat": metrics,
        "api": metrics,
        "exporter": twin("exporter")["ports"][0]["containerPort"],
    }


def test_prometheus_has_the_rules_whose_numbers_there_are() -> None:
    kept = {group["name"] for text in rules().values() for group in yaml.safe_load(text)["groups"]}
    values = {
        "exporter": {"enabled": True},
        "metrics": {"enabled": True},
        "monitoring": {"prometheusRule": {"enabled": True}, "kubeStateMetrics": False, "keda": False},
    }
    there = render(values).of("PrometheusRule")
    assert kept == {group["name"] for rule in there.values() for group in rule["spec"]["groups"]}


def test_every_profile_is_one_that_can_be_asked_for() -> None:
    by_profile = {
        profile: {name for name, found in composed()["services"].items() if profile in found.get("profiles", [profile])}
        for profile in PROFILES
    }
    assert by_profile["light"] == {*SHARED, "sandbox"} - {"exporter"}
    assert by_profile["monitoring"] == by_profile["light"] | {"exporter", "prometheus"}
    assert by_profile["full"] == by_profile["monitoring"] | {"grafana"}


def test_two_of_each_worker_and_one_beat() -> None:
    assert {name: service(name)["deploy"]["replicas"] for name in WORKERS} == dict.fromkeys(WORKERS, 2)
    assert [name for name in WORKERS if "container_name" in service(name)] == []
    # Of a service whose containers have a name, Compose makes no second one.
    assert service("beat")["container_name"] == "celery-beat-1"


def test_the_images_are_the_pinned_ones() -> None:
    pins = {"broker": "REDIS_IMAGE", "prometheus": "PROMETHEUS_IMAGE", "grafana": "GRAFANA_IMAGE"}
    assert {name: service(name)["image"] for name in pins} == {name: pinned(pin) for name, pin in pins.items()}
    assert {service(name)["image"] for name in SHARED if name != "broker"} == {"app"}


def test_every_secret_is_a_file_and_each_goes_where_it_is_needed() -> None:
    assert set(composed()["secrets"]) == set(SECRETS)
    given = {
        name: {each["source"] for each in found.get("secrets", [])} for name, found in composed()["services"].items()
    }
    assert given["exporter"] == {"scaler-url"}
    assert given["broker"] == {"broker-password", "scaler-password", "probe-password"}
    assert given["prometheus"] == given["sandbox"] == set()
    assert {name for name in given if "api-token" in given[name]} == {"api"}
    assert {name for name in given if "flower-password" in given[name]} == {"flower"}


def test_every_file_that_is_mounted_is_there_and_is_looked_at() -> None:
    for name, found in composed()["services"].items():
        mounts = [Path(mount["source"]) for mount in found.get("volumes", []) if mount["type"] == "bind"]
        made = [path for path in mounts if ".compose" in path.parts]
        assert [path for path in mounts if path not in made and not path.exists()] == []
        known = {(FILE.parent / path).resolve() for path in MOUNTED.get(name, ())}
        # A dashboard is read again by Grafana itself, the script of the smoke test by each run.
        assert {path for path in mounts if path not in made} - known <= {
            ROOT / "helm" / "celery" / "files" / "dashboards",
            ROOT / "helm" / "celery" / "files" / "round_trip.py",
        }


def test_grafana_finds_its_dashboards_where_its_provisioning_looks() -> None:
    mounts = {mount["target"]: Path(mount["source"]) for mount in service("grafana")["volumes"] if "source" in mount}
    provisioning = mounts["/etc/grafana/provisioning"]
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "celery.yaml").read_text())["providers"]
    assert list(mounts[provider["options"]["path"]].glob("*.json"))
    assert "${PROMETHEUS_URL}" in (provisioning / "datasources" / "prometheus.yaml").read_text()


@pytest.mark.parametrize("name", ["prometheus", "grafana"])
def test_monitoring_has_the_memory_that_its_chart_gives_it(name: str) -> None:
    values = yaml.safe_load((ROOT / "helm" / "monitoring" / "values.yaml").read_text(encoding="utf-8"))
    limit = values[name]["resources"]["limits"]["memory"]
    mebibytes = int(limit[:-2]) << (10 if limit.endswith("Gi") else 0)
    assert int(service(name)["deploy"]["resources"]["limits"]["memory"]) == mebibytes << 20


def test_grafana_is_set_up_as_by_its_chart() -> None:
    template = ROOT / "helm" / "monitoring" / "templates" / "grafana" / "deployment.yaml"
    there = dict(re.findall(r"name: (GF_\w+), value: \"?(\w+)\"?\}", template.read_text(encoding="utf-8")))
    assert len(there) >= 4
    assert {key: service("grafana")["environment"].get(key) for key in there} == there
