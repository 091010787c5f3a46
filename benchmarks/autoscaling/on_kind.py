"""One burst on a real cluster, for the chart's defaults and for a plain list-length trigger side by side, and what the
simulator says of the same burst.

Installs the chart in a namespace of its own, in a cluster that `make cluster-up` made and that has the images since
`make deploy ENV=kind`, and takes it away again.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from scripts import image, toolbox
from tests.support.cluster import Cluster, Release
from tests.support.stack import until

from .controllers import SYNC_SECONDS
from .policies import POLICIES
from .simulate import Milestones, Moment, Phases, milestones, replay
from .traces import Workload

SLOTS, MOST = 2, 6
# The two groups, and the simulator's policy for each.
GROUPS = {"email": "counting", "report": "list-length"}
# Seconds; the plain trigger's cooldown of 300 s isn't waited for.
LOOK = 150


@dataclass(frozen=True)
class Measured:
    """One group: seconds from the burst to the first start, to 95 % of the peak's pods, and to the last end."""

    group: str
    first_start: float
    peak: float
    pod_seconds: float
    repeated: int
    done: float
    model: Milestones


def plain_trigger(prefix: str) -> dict[str, Any]:
    """Return what KEDA's documentation of the redis trigger gives, with KEDA's and the HPA's defaults."""
    trigger = {
        "type": "redis",
        "metadata": {
            "address": "{{ .Release.Name }}-broker.{{ .Release.Namespace }}.svc:6379",
            "username": "scaler",
            "listName": f"{prefix}report",
            "listLength": "5",
        },
        "authenticationRef": {"name": "plain"},
    }
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "plain"},
        "spec": {
            "scaleTargetRef": {"name": "{{ .Release.Name }}-worker-report"},
            "minReplicaCount": 0,
            "maxReplicaCount": MOST,
            "triggers": [trigger],
        },
    }


def values(namespace: str) -> dict[str, Any]:
    """Return the chart's values: one group as the chart has it, one whose Deployment KEDA scales by the list."""
    password = {"parameter": "password", "name": "celery", "key": "scaler-password"}
    login = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "TriggerAuthentication",
        "metadata": {"name": "plain"},
        "spec": {"secretTargetRef": [password]},
    }
    ours = {"engine": "keda", "minReplicas": 0, "maxReplicas": MOST}
    return {
        "workers": {
            "exampleGroups": {
                "email": {"queues": ["email"], "concurrency": SLOTS, "autoscaling": ours},
                "report": {"queues": ["report"], "concurrency": SLOTS, "replicas": 0},
            }
        },
        "extraObjects": [login, plain_trigger(f"{namespace}:celery:")],
    }


@contextmanager
def installed(context: str, reference: str) -> Iterator[Release]:
    """Give a release in a namespace that is gone afterwards."""
    cluster = Cluster(context, reference)
    with cluster.namespace("bench-autoscaling") as namespace, tempfile.TemporaryDirectory() as folder:
        release = Release(cluster, namespace, Path(folder))
        release.install(values(namespace))
        yield release


def watch(release: Release, began: float) -> dict[str, list[Moment]]:
    """Return the timeline of each group over LOOK seconds."""
    seen: dict[str, list[Moment]] = {group: [] for group in GROUPS}
    while (now := time.time() - began) < LOOK:
        pods = release.kube.items("pods", **{"app.kubernetes.io/component": "worker"})
        for item in release.kube.items("deployments", **{"app.kubernetes.io/component": "worker"}):
            group = item["metadata"]["labels"]["worker-group"]
            if group in seen:
                paid = sum(pod["metadata"]["labels"]["worker-group"] == group for pod in pods)
                ready = item["status"].get("readyReplicas", 0)
                seen[group].append(Moment(now, item["spec"]["replicas"], ready, paid))
        print(
            f"\r{now:5.0f} s  " + "  ".join(f"{g}: {m[-1].ready} pods" for g, m in seen.items()),
            end="",
            file=sys.stderr,
        )
        time.sleep(1)
    print(file=sys.stderr)
    return seen


def measure(release: Release, tasks: int, seconds: float) -> list[Measured]:
    """Send the same burst to both groups and return what became of it."""
    began = time.time()
    sent = {group: release.send("tasks.faults.sleep", seconds, group, count=tasks, queue=group) for group in GROUPS}
    seen = watch(release, began)
    found = []
    for group, policy in GROUPS.items():
        until(lambda group=group: set(sent[group]) <= release.ended(group), 600, f"{group} has done its work")
        runs = release.runs(group)
        starts = sorted(run["at"] - began for run in runs if run["what"] == "start")
        moments = seen[group]
        most = max(moment.ready for moment in moments)
        peak = next(moment.second for moment in moments if moment.ready >= 0.95 * most)
        start = next(m.second for m in moments if m.ready) - next(m.second for m in moments if m.replicas)
        workload = Workload(SLOTS, start, 0, MOST)
        # Nobody knows the clocks' phases: half a period.
        keda = POLICIES[policy].keda.polling / 2
        model = milestones(
            replay([(0.0, seconds)] * tasks, POLICIES[policy], workload, LOOK, Phases(SYNC_SECONDS / 2, keda)).timeline,
            0,
        )
        found.append(
            Measured(
                group=policy,
                first_start=starts[0],
                peak=peak,
                pod_seconds=sum(b.pods * (b.second - a.second) for a, b in pairwise(moments)),
                repeated=len(starts) - tasks,
                done=max(run["at"] - began for run in runs if run["what"] == "end"),
                model=model,
            )
        )
    return found


def main(argv: list[str] | None = None) -> int:
    """Print a line for each policy and the ratio of ours to the plain one."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.autoscaling.on_kind", description=__doc__)
    parser.add_argument("--context", default="kind-celery")
    parser.add_argument("--tasks", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=10, help="of each task")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    toolbox.find("kubectl")
    image.use_engine()
    reference = image.build()[0]
    found = []
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}: installing", file=sys.stderr)
        with installed(options.context, reference) as release:
            found.append(measure(release, options.tasks, options.seconds))
    if options.json:
        print(json.dumps([[asdict(each) for each in round_] for round_ in found]))
        return 0
    print("policy       first start  95 % of peak  model says  pod-seconds  repeated   done")
    for round_ in found:
        for each in round_:
            print(
                f"{each.group:<12} {each.first_start:>9.1f} s {each.peak:>11.1f} s {each.model.peak:>9.1f} s"
                f" {each.pod_seconds:>12.0f} {each.repeated:>9} {each.done:>4.0f} s"
            )
    ratios = sorted(ours.peak / plain.peak for ours, plain in found)
    print(f"95 % of the peak, ours / plain: {ratios[len(ratios) // 2]:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
