"""A release of the chart in a real cluster, as a test sees it: installed by the code of `make deploy`, and used."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scripts.deploy import release, rollout
from scripts.deploy.environment import Environment
from scripts.deploy.kube import Kube
from scripts.refused import Refused
from tests.support.ledger import Ledger
from tests.support.stack import until

# A release that fits beside others on a small machine, with the tasks that fail and sleep on request.
SMALL: dict[str, Any] = {
    "app": {"env": {"FAULT_TASKS": "true"}, "leaseSeconds": 10},
    "broker": {
        "persistence": {"size": "1Gi"},
        "resources": {"requests": {"cpu": "20m"}, "limits": {"memory": "256Mi"}},
    },
    "workers": {
        "defaults": {"timeLimitSeconds": 60, "concurrency": 2, "resources": {"requests": {"cpu": "20m"}}},
        "exampleGroups": {"report": None, "high": None, "orders": None},
    },
    "api": {"enabled": False},
    "flower": {"enabled": False},
}
# Seconds.
READY_WITHIN = 180


@dataclass(frozen=True)
class Cluster:
    """A cluster's context, and the application's image that its nodes have."""

    context: str
    image: str

    def kube(self, namespace: str, name: str = "celery", helm: str = "helm") -> Kube:
        return Kube(Environment("test", self.context, namespace, name, ()), helm)

    @contextmanager
    def namespace(self, name: str) -> Iterator[str]:
        """Give a namespace that enforces Pod Security "restricted", empty at the start and gone at the end."""
        kube = self.kube(name)
        remove_namespace(kube)
        kube.kubectl("apply", "--filename", "-", stdin=release.NAMESPACE.format(name=name))
        try:
            yield name
        finally:
            remove_namespace(kube)


def remove_namespace(kube: Kube) -> None:
    """Remove a namespace with all that is in it, and its volumes' data; wait until it is gone."""
    name = kube.environment.namespace
    if not kube.kubectl("get", "namespace", name, "--ignore-not-found", "--output", "name"):
        return
    kube.kubectl("delete", "namespace", name, "--wait=false")

    def gone() -> bool:
        # Again and again: a controller may have made another pod in the meantime.
        kube.kubectl("delete", "pods", "--all", "--grace-period=0", "--force", "--wait=false")
        return not kube.kubectl("get", "namespace", name, "--ignore-not-found")

    until(gone, 180, f"namespace {name} is gone")


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return values with later layers over earlier ones, as Helm merges files."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            old = result.get(key)
            result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return result


@contextmanager
def forwarded(command: list[str]) -> Iterator[str]:
    """Run `kubectl port-forward` of a port on any free one, and give the address."""
    # The last word is local:remote.
    command[-1] = f":{command[-1].partition(':')[2]}"
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield f"http://{process.stdout.readline().split()[2]}"
        finally:
            process.terminate()


class Release(Ledger):
    """One release: install it, run things in it, and hold its tasks to account."""

    def __init__(
        self, cluster: Cluster, namespace: str, folder: Path, name: str = "celery", helm: str = "helm"
    ) -> None:
        self.cluster, self.folder, self.name = cluster, folder, name
        self.kube = cluster.kube(namespace, name, helm)
        self.producer = f"{name}-producer"
        self.values: dict[str, Any] = {}

    def install(self, values: Mapping[str, Any] | None = None, *options: str, seconds: float = READY_WITHIN) -> None:
        """Install or upgrade with SMALL and `values`, wait until all is ready, and have a producer at hand."""
        self.apply(merged(SMALL, values or {}), *options)
        self.wait(seconds)
        self.start_producer()

    def apply(self, values: Mapping[str, Any], *options: str) -> None:
        """Install or upgrade with just `values`, without waiting."""
        self.values = dict(values)
        release.install(self.kube, (*self.options(), *options))

    def options(self) -> tuple[str, ...]:
        """Return Helm's options for the values of the last install."""
        path = self.folder / f"{self.name}-values.yaml"
        path.write_text(yaml.safe_dump(self.values))
        repository, _, tag = self.cluster.image.rpartition(":")
        given = self.values.get("image", {})
        image = () if given else (f"--set=image.repository={repository}", f"--set-string=image.tag={tag}")
        return (f"--values={path}", *image)

    def wait(self, seconds: float = READY_WITHIN) -> None:
        rollout.wait(self.kube, seconds, lambda _: None)

    def rendered(self) -> list[dict[str, Any]]:
        return self.kube.template(*self.options())

    def workload(self, component: str) -> str:
        """Return `deployment/...` or `statefulset/...` of a component such as worker-email."""
        prefix = self.name if "celery" in self.name else f"{self.name}-celery"
        return f"{'statefulset' if component == 'broker' else 'deployment'}/{prefix}-{component}"

    def pods(self, component: str, group: str = "") -> list[dict[str, Any]]:
        """Return a component's pods that aren't on their way out, the oldest first."""
        labels = {"app.kubernetes.io/component": component} | ({"worker-group": group} if group else {})
        found = [pod for pod in self.kube.items("pods", **labels) if not pod["metadata"].get("deletionTimestamp")]
        return sorted(found, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def execute(self, pod: str, *command: str) -> str:
        """Return what a command prints in a pod's first container. Raises Refused when it fails."""
        return self.kube.kubectl("exec", pod, "--", *command, timeout=150)

    def beside(self, *command: str) -> str:
        return self.execute(self.producer, *command)

    def smoke(self) -> str:
        """Run `helm test` and return its log. Raises Refused with it when a check fails."""
        try:
            self.kube.helm("test", self.name, "--timeout", "150s", timeout=170)
        except Refused as refused:
            raise Refused(f"{refused}\n{self._test_log()}") from None
        return self._test_log()

    def _test_log(self) -> str:
        return self.kube.kubectl("logs", "--selector", "app.kubernetes.io/component=test,!producer", "--tail", "-1")

    def start_producer(self, node: str = "") -> None:
        """Have a pod at hand that may send tasks, on a certain node if one is named."""
        # The pod of `helm test` with another command: it has the application's environment, and may reach the broker.
        pods = [document for document in self.rendered() if document["kind"] == "Pod"]
        pod = pods[0]
        pod["metadata"] = {
            "name": self.producer,
        }
        spec = pod["spec"]
        spec["terminationGracePeriodSeconds"] = 0
        if node:
            spec["nodeName"] = node
        spec["containers"][0]["command"] = ["sleep", "86400"]
        spec["containers"][0]["volumeMounts"] = [
            m for m in spec["containers"][0]["volumeMounts"] if m["name"] != "scripts"
        ]
        spec["volumes"] = [volume for volume in spec["volumes"] if volume["name"] != "scripts"]
        self.kube.kubectl("delete", "pod", self.producer, "--ignore-not-found", "--grace-period=0", "--force")
        self.kube.kubectl("create", "--filename", "-", stdin=json.dumps(pod))
        self.kube.kubectl("wait", "--for=condition=Ready", f"pod/{self.producer}", "--timeout=60s", timeout=70)
