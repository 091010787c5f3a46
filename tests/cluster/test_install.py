"""`make deploy ENV=kind` on a fresh cluster gives everything, healthy, hardened and at work."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import testinfra

from app.queues import GROUPS
from scripts import toolbox
from scripts.refused import Refused
from tests.conftest import ROOT
from tests.support.cluster import Cluster, Release, forwarded
from tests.support.stack import until

COMPONENTS = ("broker", "beat", "flower", "exporter", "api", *(f"worker-{group}" for group in GROUPS))
MONITORING = ("prometheus", "alertmanager", "kube-state-metrics")
NAMESPACE = "shop"
DIFFERENT = (
    # A queue that nobody serves is to be known soon.
    "--set=test.timeoutSeconds=40",
    # The environment lets these go to zero, and here a pod of each is looked at.
    *(f"--set=workers.exampleGroups.{group}.autoscaling.minReplicas=1" for group in ("email", "report", "high")),
)
FIRST = "from app.celery_app import app; print(app.send_task('tasks.check_status').get(timeout=60))"


@pytest.fixture(scope="module")
def deployed(
    cluster: Cluster, shell: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Release, dict[str, Any]]]:
    with cluster.namespace(NAMESPACE):
        ran = make(cluster, shell, "up", "--json", "--", *DIFFERENT)
        assert ran.returncode == 0, ran.stderr
        yield Release(cluster, NAMESPACE, tmp_path_factory.mktemp("values")), json.loads(ran.stdout)


def make(cluster: Cluster, shell: dict[str, str], verb: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run what make runs for a verb; nobody says again what ports the cluster was made with."""
    shell = {name: value for name, value in shell.items() if not re.fullmatch(r"CLUSTER_\w+_PORT", name)}
    where = ["--env", "kind", "--context", cluster.context, "--namespace", NAMESPACE]
    command = [sys.executable, "-m", "scripts.deploy", verb, *where, *options]
    return subprocess.run(command, cwd=ROOT, env=shell, capture_output=True, text=True, timeout=600)


def inside(release: Release, component: str) -> Any:
    """Return testinfra's host that is a component's container."""
    scope = f"namespace={NAMESPACE}&context={release.kube.environment.context}"
    return testinfra.get_host(f"kubectl://{pod_of(release, component)}?{scope}")


def pod_of(release: Release, component: str) -> str:
    group = component.removeprefix("worker-") if component.startswith("worker-") else ""
    return str(release.pods("worker" if group else component, group)[0]["metadata"]["name"])


def test_helm_install_soon_ends_its_first_task(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with cluster.namespace("first-task"):
        release = Release(cluster, "first-task", tmp_path)
        began = time.monotonic()
        # The chart's own values: all groups, beat, Flower and the API.
        release.apply({})

        def ended() -> str:
            # Until its worker has started there is nothing to ask.
            with suppress(Refused):
                return release.execute("deployment/celery-worker-default", "python", "-c", FIRST)
            return ""

        until(ended, 180, "a task has ended")
        with capsys.disabled():
            # A number and no gate: it is the machine's.
            print(f"\n  helm install to the first finished task: {time.monotonic() - began:.0f} s")


def test_deploy_ends_with_the_addresses_and_the_logins(deployed: tuple[Release, dict[str, Any]]) -> None:
    found = deployed[1]["addresses"]
    assert found["api"]
    assert found["API token"].startswith("Bearer ")
    assert "password" in found["Flower login"]


@pytest.mark.skipif(bool(os.environ.get("CLUSTER_CONTEXT")), reason="only kind maps its nodes' ports to this machine")
def test_what_listens_there_lets_in_who_logs_in(deployed: tuple[Release, dict[str, Any]]) -> None:
    found = deployed[1]["addresses"]
    assert found["api"].startswith("http://127.0.0.1:")
    user, password = re.fullmatch(r"user (\S+), password (\S+)", found["Flower login"]).groups()  # type: ignore[union-attr]
    with httpx.Client(timeout=20, trust_env=False) as client:
        assert client.get(f"{found['prometheus']}/-/ready").status_code == 200
        assert client.get(f"{found['flower']}/workers").status_code == 401
        assert client.get(f"{found['flower']}/workers", auth=(user, password)).status_code == 200
        order = {"customer": "you", "email": "you@example.com", "items": [{"sku": "book", "quantity": 1}]}
        assert client.post(f"{found['api']}/orders", json=order).status_code == 401
        headers = {"Authorization": found["API token"]}
        answer = client.post(f"{found['api']}/orders", json=order, headers=headers)
        assert answer.status_code == 202, answer.text
        task = f"{found['api']}/task/{answer.json()['task_id']}"
        # Nobody has put a book on the shelf: what counts is that a worker has looked.
        until(lambda: client.get(task, headers=headers).json()["status"] in ("SUCCESS", "FAILURE"), 60, "an answer")


def test_status_shows_every_component_ready(
    cluster: Cluster, shell: dict[str, str], deployed: tuple[Release, dict[str, Any]]
) -> None:
    ran = make(cluster, shell, "status", "--json")
    assert ran.returncode == 0, ran.stdout
    # Grafana's image can't be had on every machine: without it there is none.
    found = {row["name"] for row in json.loads(ran.stdout)["workloads"]} - {"grafana"}
    assert found == {*COMPONENTS, *MONITORING}


def test_scale_status_shows_what_scales_each_group(
    cluster: Cluster, shell: dict[str, str], deployed: tuple[Release, dict[str, Any]]
) -> None:
    ran = make(cluster, shell, "scale-status", "--json")
    assert ran.returncode == 0, ran.stderr
    engines = {group["name"]: group["engine"] for group in json.loads(ran.stdout)["groups"]}
    assert engines == {group: "none" if group == "orders" else "keda" for group in GROUPS}
    table = make(cluster, shell, "scale-status").stdout.splitlines()
    assert table[0].split()[:4] == ["group", "engine", "pods", "wanted"]
    (orders,) = (line for line in table if line.startswith("orders"))
    assert orders.endswith("fixed: replicas of the values")
    assert "?" not in orders, "the exporter says what waits and runs"


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
    ran = make(cluster, shell, "up", "--", *DIFFERENT)
    assert ran.returncode == 0, ran.stderr
    after = {pod["metadata"]["uid"] for component in COMPONENTS for pod in release.pods(component.partition("-")[0])}
    assert before <= after


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_pods_root_is_read_only_and_its_user_nobody_special(
    deployed: tuple[Release, dict[str, Any]], component: str
) -> None:
    host = inside(deployed[0], component)
    assert host.user().uid in (10001, 999)
    assert host.user().gid in (10001, 999)
    touched = host.run("touch /etc/x")
    assert touched.rc != 0
    assert "Read-only file system" in touched.stderr
    assert not host.file("/var/run/secrets/kubernetes.io").exists
    status = host.file("/proc/1/status").content_string
    assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)
    assert re.search(r"^Seccomp:\s+2$", status, re.MULTILINE)


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
    kubectl, helm = release.kube.command[0], str(toolbox.find("helm"))
    lines = release.kube.helm("get", "notes", "celery").splitlines()
    commands = [shlex.split(line) for line in lines if re.match(r"  (kubectl|helm) ", line)]
    assert len(commands) == 6
    for program, *words in commands:
        if "port-forward" in words:
            with forwarded([kubectl, "--context", cluster.context, *words]) as address:
                assert httpx.get(address, trust_env=False).status_code in (200, 401, 404)
            continue
        bound = [helm, "--kube-context"] if program == "helm" else [kubectl, "--context"]
        ran = subprocess.run([*bound, cluster.context, *words], capture_output=True, text=True)
        assert ran.returncode == 0, f"{program} {words}: {ran.stderr}"
        assert ran.stdout.strip()


def test_no_user_of_the_broker_was_denied_anything(deployed: tuple[Release, dict[str, Any]]) -> None:
    """KEDA, the probes, every component and `helm test` have worked by now, each with a user of least privilege."""
    release, _ = deployed
    assert "NOPERM" not in denials(release)
    assert "WRONGPASS" not in denials(release)
    redis_cli(release, "config", "get", "maxmemory")
    assert "errorstat_NOPERM:count=1" in denials(release)


def denials(release: Release) -> str:
    return redis_cli(release, "info", "errorstats")


def redis_cli(release: Release, *words: str) -> str:
    # As the application's user; no user may read the log of denials, and the counters are for all of them.
    script = f"REDISCLI_AUTH=$(cat /etc/broker/passwords/broker-password) redis-cli --user app {' '.join(words)}"
    return release.execute("celery-broker-0", "sh", "-c", script)
