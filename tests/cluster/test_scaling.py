"""A queue with work gets workers, one without costs nothing, and no running task dies of it: KEDA on a real cluster."""

from __future__ import annotations

import ipaddress
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from scripts.cluster.names import SERVICES
from scripts.deploy import scaling
from scripts.refused import Refused
from tests.support.cluster import Release
from tests.support.stack import holds, until

# Seconds. The HPA looks every 15 s, and one look may fall together with a pod's start.
SCALES_WITHIN = 120
DEPOSED = "deployment/keda-operator"


@pytest.fixture(scope="module")
def release(releases: Callable[..., Release]) -> Release:
    release = releases()
    # Shorter than the chart's, so that a test sees both ways; the numbers themselves are the simulator's to judge.
    down = {"stabilizationWindowSeconds": 5, "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}
    zero: dict[str, Any] = {"engine": "keda", "minReplicas": 0, "maxReplicas": 3, "pollingSeconds": 2}
    zero |= {"cooldownSeconds": 10, "behavior": {"scaleDown": down}}
    groups = {
        "email": {"queues": ["email"], "autoscaling": zero},
        "report": {"queues": ["report"], "autoscaling": zero},
        "high": {"queues": ["high"], "concurrency": 2, "autoscaling": {**zero, "policy": "latency"}},
        "orders": {
            "queues": ["high_priority"],
            "concurrency": 1,
            "autoscaling": {**zero, "minReplicas": 1, "idleFirst": True},
        },
    }
    workers = {"defaults": {"timeLimitSeconds": 300}, "exampleGroups": groups}
    release.install({"workers": workers, "exporter": {"enabled": True}})
    return release


def wanted(release: Release, group: str) -> int:
    """Return how many pods the Deployment is told to have."""
    return int(release.kube.json("get", release.workload(f"worker-{group}"))["spec"]["replicas"])


def ready(release: Release, group: str) -> int:
    return int(release.kube.json("get", release.workload(f"worker-{group}"))["status"].get("readyReplicas", 0))


def gone(release: Release, group: str) -> bool:
    """Return whether the group has no pod, not even one that ends."""
    return not release.kube.items("pods", **{"worker-group": group})


def state(release: Release, group: str) -> scaling.Group:
    return next(found for found in scaling.groups(release.kube) if found.name == group)


def at_zero(release: Release, *groups: str) -> None:
    until(lambda: not any(wanted(release, group) for group in groups), SCALES_WITHIN, f"{groups} go to zero")


def test_three_groups_go_from_nothing_to_their_maximum_and_back(release: Release) -> None:
    groups = ("email", "report", "high")
    at_zero(release, *groups)
    began = time.time()
    sent = {group: release.send("tasks.faults.sleep", 12, group, count=14, queue=group) for group in groups}
    for group in groups:
        until(lambda group=group: release.started(group), 60, f"the first task of {group} starts")
    first = {group: min(run["at"] for run in release.runs(group)) - began for group in groups}
    print(f"\nSeconds from sending to the first start, from zero: {first}")
    until(lambda: all(wanted(release, group) == 3 for group in groups), SCALES_WITHIN, "all have their maximum")
    # The HPA says so at its next look.
    until(
        lambda: "AT ITS MAXIMUM of 3" in state(release, "email").why,
        45,
        "a group that is at its maximum with work for more is to be seen",
    )
    for group in groups:
        release.agrees(group, sent[group], 180)
    at_zero(release, *groups)
    until(lambda: all(gone(release, group) for group in groups), 60, "the last pods are gone")
    assert state(release, "email").why == "no work: costs nothing"


def test_scale_in_takes_idle_pods_and_lets_a_running_task_end(release: Release) -> None:
    until(lambda: ready(release, "orders") == 1, SCALES_WITHIN, "one pod waits")
    # The tasks of the older pods end while the newest still works: unasked, Kubernetes would take the newest.
    brief = release.send("tasks.faults.sleep", 60, "idle-first", count=2, queue="high_priority")
    until(lambda: len(release.started("idle-first")) == 2, SCALES_WITHIN, "a second pod comes, and both have a task")
    long = release.send("tasks.faults.sleep", 110, "idle-first", queue="high_priority")
    until(lambda: set(long) <= release.started("idle-first"), SCALES_WITHIN, "a third has the long task")
    busy = _pod_of(release, long[0])
    until(lambda: set(brief) <= release.ended("idle-first"), 90, "the others are idle")
    until(lambda: len(release.pods("worker", "orders")) == 1, SCALES_WITHIN, "the idle pods are taken")
    assert not set(long) <= release.ended("idle-first"), "the long task was to run meanwhile"
    (left,) = release.pods("worker", "orders")
    assert left["metadata"]["name"] == busy
    assert _cost(release, busy) > 0
    release.agrees("idle-first", [*brief, *long], 150)
    until(lambda: _cost(release, busy) == 0, 60, "the pod that has ended its task is idle again")


def _pod_of(release: Release, task: str) -> str:
    """Return the pod that runs a task, from its execution mark: group@pod/process/..."""
    owner = release.python(
        "import json; from app.celery_app import app; from app.runtime.clients import pooled; "
        "from app.runtime.keys import Keys\n"
        f"with pooled(app) as client: print(json.dumps(client.get(Keys.of(app).execution({task!r}, '0.0')).decode()))"
    )
    return str(owner).partition("@")[2].partition("/")[0]


def _cost(release: Release, pod: str) -> int:
    found = release.kube.json("get", "pod", pod)["metadata"].get("annotations", {})
    return int(found.get("controller.kubernetes.io/pod-deletion-cost", 0))


# What a worker that was taken over could try: its token, its pod's status, and another image in the same breath.
HARM = """
import json, os, ssl, urllib.request
account = "/var/run/secrets/kubernetes.io/serviceaccount/"
namespace, token = open(account + "namespace").read(), open(account + "token").read()
body = {"spec": {"containers": [{"name": "worker", "image": "other:1"}]}, "metadata": {"annotations": {"tried": "yes"}}}
request = urllib.request.Request(
    f"https://kubernetes.default.svc/api/v1/namespaces/{namespace}/pods/{os.environ['POD_NAME']}/status",
    json.dumps(body).encode(), method="PATCH",
    headers={"Authorization": f"Bearer {token}", "Content-Type": "application/strategic-merge-patch+json"},
)
context = ssl.create_default_context(cafile=account + "ca.crt")
print(urllib.request.urlopen(request, context=context, timeout=10).status)
"""


def test_a_worker_may_write_its_cost_and_not_change_a_pod(release: Release) -> None:
    account = f"system:serviceaccount:{release.kube.environment.namespace}:celery-worker-orders"

    def may(verb: str, what: str, *options: str) -> bool:
        try:
            return release.kube.kubectl("auth", "can-i", verb, what, *options, f"--as={account}").strip() == "yes"
        except Refused:
            return False

    assert may("patch", "pods", "--subresource=status")
    assert not any((may("patch", "pods"), may("get", "pods"), may("get", "secrets"), may("create", "pods")))
    pod = release.pods("worker", "orders")[-1]
    name = pod["metadata"]["name"]
    assert release.execute(name, "python", "-c", HARM).strip() == "200"
    after = release.kube.json("get", "pod", name)
    assert after["metadata"]["annotations"]["tried"] == "yes"
    assert after["spec"]["containers"][0]["image"] == pod["spec"]["containers"][0]["image"]


def test_what_a_killed_worker_left_brings_a_worker_back_from_zero(release: Release) -> None:
    at_zero(release, "email")
    sent = release.send("tasks.faults.sleep", 8, "killed", queue="email")
    until(lambda: release.started("killed"), 60, "the task runs")
    deployment = release.workload("worker-email")
    (pod,) = release.pods("worker", "email")
    # Its death and a scaler's mistake at the same time; the queue is empty.
    release.kube.kubectl("scale", deployment, "--replicas=0")
    release.kube.kubectl("delete", "pod", pod["metadata"]["name"], "--grace-period=0", "--force")
    until(lambda: len(release.runs("killed")) >= 2, 60, "it runs again")
    release.agrees("killed", sent, 60, repeats=1)


def test_a_thousand_tasks_of_tomorrow_keep_one_pod_and_no_more(release: Release) -> None:
    at_zero(release, "report")
    ids = release.python(
        "import json; from app.celery_app import app; "
        "print(json.dumps([app.send_task('tasks.faults.sleep', (0,), countdown=7200, queue='report').id"
        " for _ in range(1000)]))"
    )
    assert len(ids) == 1000

    def held() -> scaling.Group | None:
        found = state(release, "report")
        return found if found.work.held == 1000 else None

    until(held, 90, "the workers hold them all")
    until(lambda: wanted(release, "report") == 1, SCALES_WITHIN, "one pod is left")
    kept = "kept for tasks that wait for their eta"
    until(lambda: state(release, "report").why == kept, 60, "it is to be seen why it stays")
    # Longer than polling, cooldown and one look of the HPA: it neither goes nor gets company.
    holds(lambda: wanted(release, "report") == 1, 30, "one pod stays")
    release.python(
        "import json; from app.celery_app import app; from app.runtime.clients import pooled; "
        "from app.runtime.keys import Keys; keys = Keys.of(app)\n"
        "with pooled(app) as client: print(json.dumps(client.delete(keys.unacked('report'), "
        "keys.unacked_index('report'), keys.held('report'))))"
    )
    at_zero(release, "report")


def test_while_redis_is_away_every_group_keeps_its_pods(release: Release) -> None:
    # They outlive the outage, however slowly it comes and goes: a task that ended in it could not say so.
    sent = release.send("tasks.faults.sleep", 150, "outage", count=3, queue="email")
    until(lambda: len(release.started("outage")) == 3, SCALES_WITHIN, "they run")
    before = {group: wanted(release, group) for group in ("email", "orders")}
    release.kube.kubectl("scale", release.workload("broker"), "--replicas=0")
    try:
        until(lambda: not release.pods("broker"), 60, "the broker is away")
        holds(lambda: {group: wanted(release, group) for group in before} == before, 60, "the number is held")
        until(lambda: "is held" in state(release, "email").why, 60, "it is to be seen that nothing can be read")
    finally:
        release.kube.kubectl("scale", release.workload("broker"), "--replicas=1")
    release.wait()
    assert not release.ended("outage"), "all are still at work"
    release.agrees("outage", sent, 180)


@pytest.mark.alone
def test_while_keda_is_away_every_group_keeps_its_pods_and_follows_again_after(release: Release) -> None:
    at_zero(release, "email")
    sent = release.send("tasks.faults.sleep", 60, "deposed", count=3, queue="email")
    until(lambda: wanted(release, "email") == 2, SCALES_WITHIN, "two pods for three tasks")
    with without_keda(release):
        sent += release.send("tasks.faults.sleep", 1, "deposed", count=20, queue="email")
        holds(lambda: wanted(release, "email") == 2, 40, "the number is held")
    sent += release.send("tasks.faults.sleep", 20, "deposed", count=8, queue="email")
    until(lambda: wanted(release, "email") == 3, SCALES_WITHIN, "it scales again")
    release.agrees("deposed", sent, 180)


def test_while_the_exporter_is_away_a_group_by_latency_keeps_its_pods(release: Release) -> None:
    sent = release.send("tasks.faults.sleep", 50, "blind", count=3, queue="high")
    until(lambda: wanted(release, "high") == 2, SCALES_WITHIN, "two pods for three tasks")
    exporter = release.workload("exporter")
    release.kube.kubectl("scale", exporter, "--replicas=0")
    try:
        holds(lambda: wanted(release, "high") == 2, 30, "the number is held")
    finally:
        release.kube.kubectl("scale", exporter, "--replicas=1")
    release.agrees("blind", sent, 120)
    at_zero(release, "high")


@pytest.mark.skipif(bool(os.environ.get("CLUSTER_CONTEXT")), reason="a kind cluster is kept from answers from outside")
def test_nobody_outside_answers_for_a_service_that_is_not_there_yet(release: Release) -> None:
    # The last address: no Service has it.
    address = list(ipaddress.ip_network(SERVICES).hosts())[-1]
    code = (
        "import json, socket\n"
        f"try: socket.create_connection(({str(address)!r}, 9808), 20)\n"
        "except ConnectionRefusedError: print(json.dumps('refused'))"
    )
    assert release.python(code) == "refused"


def test_with_priorities_every_list_wakes_the_group_and_the_urgent_go_first(release: Release) -> None:
    at_zero(release, "email", "report", "high")
    values = release.values
    release.install({**values, "app": {**values["app"], "priorities": {"enabled": True}}})
    at_zero(release, "email")
    sent = release.python(
        "import json; from app.celery_app import app; "
        "print(json.dumps([app.send_task('tasks.faults.sleep', (3, 'priorities'), priority=p, queue='email').id"
        " for p in (9,) * 12 + (0, 0)]))"
    )
    # The exporter, new with these values too, reads on its own; 14 tasks of 3 s wait long enough for the next page.
    until(lambda: state(release, "email").work.waiting, 30, "what waits is counted in the lists of all priorities")
    release.agrees("priorities", sent, 120)
    starts = [run["task_id"] for run in release.runs("priorities") if run["what"] == "start"]
    assert set(sent[-2:]) <= set(starts[:6]), "the urgent ones, sent last, wait for what runs and no more"
    release.install(values)


@contextmanager
def without_keda(release: Release) -> Iterator[None]:
    def keda(*arguments: str) -> str:
        return release.kube.kubectl("--namespace=keda", *arguments, timeout=120)

    keda("scale", DEPOSED, "--replicas=0")
    try:
        keda("wait", "--for=delete", "pod", "--selector=app=keda-operator", "--timeout=60s")
        yield
    finally:
        keda("scale", DEPOSED, "--replicas=1")
        keda("rollout", "status", DEPOSED, "--timeout=100s")
