"""What can't work ends with a sentence and an exit code, in bounded time, and the next try mends it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.support.cluster import SMALL, Cluster, Release, merged

ONE = merged(SMALL, {"workers": {"exampleGroups": {"email": None}}, "beat": {"enabled": False}})


@pytest.fixture(scope="module")
def release(releases: Callable[..., Release]) -> Release:
    release = releases()
    release.install(ONE)
    return release


Deploy = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def deploy(cluster: Cluster, release: Release, shell: dict[str, str], tmp_path: Path) -> Deploy:
    """Run `make deploy ENV=production` with values of one's own into the release's namespace."""

    def run(
        values: Mapping[str, Any], *options: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        path = tmp_path / "values.yaml"
        repository, _, tag = cluster.image.rpartition(":")
        mine = {
            "image": {"repository": repository, "tag": tag},
            "broker": {"appendfsync": "everysec", "maxclients": 4000, "resources": {"requests": {"memory": "64Mi"}}},
            "workers": {"defaults": {"replicas": 1, "autoscaling": {"engine": "none"}}},
            "api": {"autoscaling": {"enabled": False}},
        }
        path.write_text(yaml.safe_dump(merged(mine, ONE, values)))
        where = ["--env", "production", "--context", cluster.context, "--namespace", release.kube.environment.namespace]
        command = [sys.executable, "-m", "scripts.deploy", "up", *where, "--values", str(path), *options]
        shell_now = {**shell, **(environment or {})}
        return subprocess.run(command, cwd=ROOT, env=shell_now, capture_output=True, text=True, timeout=400)

    return run


def refused(ran: subprocess.CompletedProcess[str], *words: str, code: int = 1) -> None:
    assert ran.returncode == code, ran.stdout + ran.stderr
    assert [word for word in words if word not in ran.stderr] == [], ran.stderr
    assert "Traceback" not in ran.stderr


def test_an_unknown_environment_is_named(shell: dict[str, str]) -> None:
    command = [sys.executable, "-m", "scripts.deploy", "up", "--env", "staging"]
    ran = subprocess.run(command, cwd=ROOT, env=shell, capture_output=True, text=True, timeout=60)
    refused(ran, "no environment 'staging'", "ENV=kind", code=2)


def test_another_context_than_the_environments_is_refused(
    cluster: Cluster, shell: dict[str, str], tmp_path: Path
) -> None:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "elsewhere",
        "contexts": [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in ("elsewhere", "kind-celery")],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {}}],
    }
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    command = [sys.executable, "-m", "scripts.deploy", "up", "--env", "kind"]
    surroundings = {**shell, "KUBECONFIG": str(path)}
    ran = subprocess.run(command, cwd=ROOT, env=surroundings, capture_output=True, text=True, timeout=60)
    refused(ran, "current context is elsewhere", "kubectl config use-context kind-celery", code=2)
    began = time.monotonic()
    ran = subprocess.run(
        [*command, "--context", "elsewhere"], cwd=ROOT, env=surroundings, capture_output=True, text=True, timeout=120
    )
    refused(ran, "doesn't answer")
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("name", ["celery", "monitoring"])
def test_a_release_of_another_chart_is_neither_replaced_nor_taken_away(
    cluster: Cluster, shell: dict[str, str], tmp_path: Path, name: str
) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("{apiVersion: v2, name: theirs, version: 1.0.0}")
    (tmp_path / "templates" / "it.yaml").write_text("{apiVersion: v1, kind: ConfigMap, metadata: {name: theirs}}")
    with cluster.namespace("strangers") as namespace:
        kube = cluster.kube(namespace, name)
        kube.helm("install", name, str(tmp_path))
        where = ["--env", "kind", "--context", cluster.context, "--namespace", namespace]
        for verb in ("up", "down"):
            command = [sys.executable, "-m", "scripts.deploy", verb, *where]
            ran = subprocess.run(command, cwd=ROOT, env=shell, capture_output=True, text=True, timeout=120)
            refused(ran, f"release {name} in namespace {namespace} is of the chart theirs", "NAMESPACE=name")
        releases = json.loads(kube.helm("list", "--output", "json"))
        assert [(each["name"], each["revision"], each["chart"]) for each in releases] == [(name, "1", "theirs-1.0.0")]
        kube.kubectl("get", "configmap", "theirs")


def test_values_on_a_stdin_that_is_none_are_not_lost_without_a_word(deploy: Deploy) -> None:
    refused(deploy({}, "--", "--values=-"), "write VALUES=file.yaml", code=2)


def test_wrong_values_change_nothing(release: Release, deploy: Deploy) -> None:
    before = release.kube.helm("history", release.name)
    refused(deploy({"workers": {"groups": {"default": {"pool": "gevent"}}}}), "workers.groups.default.pool is gevent")
    refused(deploy({"beat": {"replicas": 2}}), "'/beat'", "'replicas' not allowed")
    assert release.kube.helm("history", release.name) == before


def test_a_secret_that_is_not_there_is_named_before_anything_changes(release: Release, deploy: Deploy) -> None:
    before = release.kube.helm("history", release.name)
    refused(deploy({"broker": {"existingSecret": "forgotten"}}), "Secret forgotten", "create it")
    assert release.kube.helm("history", release.name) == before


def test_a_changed_volume_is_refused_before_anything_changes(release: Release, deploy: Deploy) -> None:
    before = release.kube.helm("history", release.name)
    refused(deploy({"broker": {"persistence": {"size": "3Gi"}}}), "1Gi", "3Gi", "--cascade=orphan")
    assert release.kube.helm("history", release.name) == before


def test_an_image_that_cannot_be_pulled_is_named_and_the_old_workers_go_on(release: Release, deploy: Deploy) -> None:
    refused(
        deploy({"image": {"repository": "registry.invalid/none", "tag": "1"}}),
        "image can't be pulled",
        "registry.invalid",
    )
    # The rollout keeps the old pod until a new one is ready.
    assert release.pods("worker", "default")[0]["status"]["phase"] == "Running"
    ran = deploy({})
    assert ran.returncode == 0, ran.stderr


def test_a_broker_that_is_not_there_is_said(release: Release, deploy: Deploy) -> None:
    external = {"broker": {"external": {"host": "nowhere.invalid"}}}
    refused(deploy(external, "--timeout", "90"), "Not ready after 90 s")
    worker = release.pods("worker", "default")[-1]["metadata"]["name"]
    assert "nowhere.invalid" in release.kube.kubectl("logs", worker)
    assert deploy({}).returncode == 0


def test_replicas_that_somebody_scaled_by_hand_are_not_overwritten_silently(release: Release, deploy: Deploy) -> None:
    release.kube.kubectl("scale", release.workload("worker-default"), "--replicas=2")
    more = {"workers": {"groups": {"default": {"replicas": 3}}}}
    refused(deploy(more), "kubectl scale", "--force-conflicts")
    ran = deploy(more, "--", "--force-conflicts")
    assert ran.returncode == 0, ran.stderr
    assert len(release.pods("worker", "default")) == 3
