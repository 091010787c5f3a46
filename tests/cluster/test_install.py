"""`make deploy ENV=kind` on a fresh cluster gives everything, healthy, hardened and at work."""

from __future__ import annotations

import base64
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from app.queues import GROUPS
from tests.conftest import ROOT
from tests.support.cluster import Cluster, Release
from tests.support.stack import until

COMPONENTS = ("broker", "beat", "flower", "api", *(f"worker-{group}" for group in GROUPS))
NAMESPACE = "shop"


@pytest.fixture(scope="module")
def deployed(
    cluster: Cluster, shell: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Release, dict[str, Any]]]:
    with cluster.namespace(NAMESPACE):
        ran = make(cluster, shell, "up", "--json")
        assert ran.returncode == 0, ran.stderr
        yield Release(cluster, NAMESPACE, tmp_path_factory.mktemp("values")), json.loads(ran.stdout)


def make(cluster: Cluster, shell: dict[str, str], verb: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run what make runs for a verb."""
    where = ["--env", "kind", "--context", cluster.context, "--namespace", NAMESPACE]
    command = [sys.executable, "-m", "scripts.deploy", verb, *where, *options]
    return subprocess.run(command, cwd=ROOT, env=shell, capture_output=True, text=True, timeout=600)


def pod_of(release: Release, component: str) -> str:
    group = component.removeprefix("worker-") if component.startswith("worker-") else ""
    return str(release.pods("worker" if group else component, group)[0]["metadata"]["name"])


def test_deploy_ends_with_the_addresses_and_the_logins(deployed: tuple[Release, dict[str, Any]]) -> None:
    found = deployed[1]["addresses"]
    assert found["api"].startswith("http://127.0.0.1:")
    assert found["API token"].startswith("Bearer ")
    assert "password" in found["Flower login"]


def test_status_shows_every_component_ready(
    cluster: Cluster, shell: dict[str, str], deployed: tuple[Release, dict[str, Any]]
) -> None:
    ran = make(cluster, shell, "status", "--json")
    assert ran.returncode == 0, ran.stdout
    assert {row["name"] for row in json.loads(ran.stdout)["workloads"]} == set(COMPONENTS)


def test_smoke_sends_a_task_through_every_queue(
    cluster: Cluster, shell: dict[str, str], deployed: tuple[Release, dict[str, Any]]
) -> None:
    ran = make(cluster, shell, "smoke")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for group in GROUPS.values():
        for queue in group.queues:
            assert f"ok    queue {queue} of group {group.name}" in ran.stdout
    assert "ok    beat" in ran.stdout
    assert re.search(r"ok +http://celery-flower:5555/healthcheck", ran.stdout)


def test_smoke_names_the_queue_that_nobody_serves(
    cluster: Cluster, shell: dict[str, str], deployed: tuple[Release, dict[str, Any]]
) -> None:
    release, _ = deployed
    kube = release.kube
    # KEDA would bring the workers back.
    kube.kubectl("annotate", "scaledobject/celery-worker-report", "autoscaling.keda.sh/paused-replicas=0")
    until(lambda: not release.pods("worker", "report"), 60, "the report group has no worker")
    try:
        ran = make(cluster, shell, "smoke", "--timeout", "200")
    finally:
        kube.kubectl("annotate", "scaledobject/celery-worker-report", "autoscaling.keda.sh/paused-replicas-")
    assert ran.returncode == 1
    assert "FAIL  queue report of group report" in ran.stdout
    assert "ok    queue email of group email" in ran.stdout


def test_deploying_again_changes_nothing(
    cluster: Cluster, shell: dict[str, str], deployed: tuple[Release, dict[str, Any]]
) -> None:
    release, _ = deployed
    before = {pod["metadata"]["uid"] for component in COMPONENTS for pod in release.pods(component.partition("-")[0])}
    ran = make(cluster, shell, "up")
    assert ran.returncode == 0, ran.stderr
    after = {pod["metadata"]["uid"] for component in COMPONENTS for pod in release.pods(component.partition("-")[0])}
    assert before <= after


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_pods_root_is_read_only_and_its_user_nobody_special(
    deployed: tuple[Release, dict[str, Any]], component: str
) -> None:
    release, _ = deployed
    script = (
        "id -u; touch /etc/x 2>&1; ls /var/run/secrets/kubernetes.io 2>&1; grep -E 'CapEff|Seccomp:' /proc/1/status"
    )
    said = release.execute(pod_of(release, component), "sh", "-c", f"{script}; true")
    assert said.splitlines()[0] in ("10001", "999")
    assert "Read-only file system" in said
    assert "No such file" in said
    assert re.search(r"CapEff:\s0+$", said, re.MULTILINE)
    assert re.search(r"Seccomp:\s2", said)


@pytest.mark.parametrize("component", COMPONENTS)
def test_no_password_is_in_a_command_line(deployed: tuple[Release, dict[str, Any]], component: str) -> None:
    release, _ = deployed
    secret = release.kube.json("get", "secret", "celery")["data"]
    script = "for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$f; echo; done"
    lines = release.execute(pod_of(release, component), "sh", "-c", script)
    assert [key for key, value in secret.items() if base64.b64decode(value).decode() in lines] == []


def test_a_pod_that_is_not_restricted_is_refused(deployed: tuple[Release, dict[str, Any]]) -> None:
    release, _ = deployed
    kubectl = [*release.kube.command, "run", "loose", "--image=x", "--restart=Never"]
    ran = subprocess.run(kubectl, capture_output=True, text=True)
    assert ran.returncode != 0
    assert 'violates PodSecurity "restricted' in ran.stderr


def test_the_notes_commands_work(cluster: Cluster, deployed: tuple[Release, dict[str, Any]]) -> None:
    release, _ = deployed
    notes = release.kube.helm("get", "notes", "celery")
    commands = [line.strip() for line in notes.splitlines() if re.match(r"  (kubectl|helm) ", line)]
    assert len(commands) == 6
    for text in commands:
        words = shlex.split(text)
        if "port-forward" in words or words[0] == "helm":
            continue
        ran = subprocess.run(
            [release.kube.command[0], "--context", cluster.context, *words[1:]], capture_output=True, text=True
        )
        assert ran.returncode == 0, f"{text}: {ran.stderr}"
        assert ran.stdout.strip()
