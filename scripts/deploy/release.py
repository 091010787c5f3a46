"""Helm on a release: what it says is turned into a sentence with a way out where it is known to puzzle people."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import yaml

from scripts.deploy.environment import Environment
from scripts.deploy.kube import Kube
from scripts.refused import Refused
from scripts.versions import ROOT

# Seconds that Helm itself takes at most; Helm's own default.
HELM_TIMEOUT = 300
NAMESPACE = """\
apiVersion: v1
kind: Namespace
metadata:
  name: {name}
  labels:
    pod-security.kubernetes.io/enforce: restricted
"""


def check(kube: Kube) -> None:
    """Raise Refused when a release of this name is there and of another chart: that one isn't ours to change."""
    if about := _known(kube, "get", "metadata"):
        refuse_stranger(kube.environment, str(about["chart"]))


def refuse_stranger(environment: Environment, chart: str) -> None:
    """Raise Refused unless the release, made of the chart of that name, is of the environment's chart."""
    ours = yaml.safe_load((environment.chart / "Chart.yaml").read_text(encoding="utf-8"))["name"]
    if chart != ours:
        raise Refused(
            f"The release {environment.release} in namespace {environment.namespace} is of the chart {chart}, "
            f"not of {environment.chart.relative_to(ROOT)}, so it is left alone: choose another namespace with "
            f"NAMESPACE=name, or uninstall that release yourself (helm uninstall {environment.release})."
        )


def files(environment: Environment, generated: bool = False) -> tuple[str, ...]:
    """Return Helm's options for the files of values, of which the last wins: the environment's, then the user's.

    With `generated`, what Helm reads on stdin comes between them.
    """
    given = [f"--values={path}" for path in environment.values]
    return (*given[:1], *(["--values=-"] if generated else []), *given[1:])


def install(kube: Kube, options: tuple[str, ...], stdin: str = "") -> None:
    """Install or upgrade the release, and don't wait for its pods; `stdin`: values for --values=-. Raises Refused."""
    environment = kube.environment
    if not kube.kubectl("get", "namespace", environment.namespace, "--ignore-not-found", "--output", "name"):
        kube.kubectl("apply", "--filename", "-", stdin=NAMESPACE.format(name=environment.namespace))
    _free_a_broken_release(kube)
    try:
        kube.helm("upgrade", environment.release, str(environment.chart), "--install", *options, stdin=stdin)
    except Refused as refused:
        raise Refused(_explained(str(refused))) from None


def uninstall(kube: Kube) -> bool:
    """Take the release away, wait until its pods are gone, and return whether there was one. Volumes stay."""
    if not is_installed(kube):
        return False
    # Helm would end broker and workers at the same time, and a task that runs to its end could not say so any more.
    running = kube.items("deployments")
    seconds = 60 + max(
        (item["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] for item in running), default=0
    )
    names = [f"deployment/{item['metadata']['name']}" for item in running]
    if names:
        kube.kubectl("delete", *names, "--cascade=foreground", f"--timeout={seconds}s", timeout=seconds + 20)
    kube.helm("uninstall", kube.environment.release, "--wait", "--cascade", "foreground", timeout=HELM_TIMEOUT + 30)
    return True


def is_installed(kube: Kube) -> bool:
    """Return whether Helm knows the release."""
    return _info(kube) is not None


def _info(kube: Kube) -> dict[str, Any] | None:
    """Return what Helm knows of the release's state, None when there is none."""
    known = _known(kube, "status")
    return known["info"] if known else None


def _known(kube: Kube, *verb: str) -> dict[str, Any] | None:
    """Return Helm's answer about the release, None when there is none."""
    try:
        known: dict[str, Any] = json.loads(kube.helm(*verb, kube.environment.release, "--output", "json"))
    except Refused as refused:
        if "not found" in str(refused):
            return None
        raise
    return known


def _free_a_broken_release(kube: Kube) -> None:
    # A Helm that was killed leaves its release pending, and every later one refuses to touch it.
    info = _info(kube) or {"status": ""}
    if not str(info["status"]).startswith("pending-"):
        return
    since = datetime.fromisoformat(str(info["last_deployed"]))
    if (datetime.now(UTC) - since).total_seconds() < HELM_TIMEOUT:
        raise Refused(
            f"{kube.environment.release} is being deployed by somebody else since {since:%H:%M:%S}: wait for it."
        )
    if info["status"] == "pending-install":
        kube.helm("uninstall", kube.environment.release)
    else:
        kube.helm("rollback", kube.environment.release)


def _explained(said: str) -> str:
    if "conflict" in said and ".spec.replicas" in said:
        who = re.search(r'conflicts? with "([^"]+)"', said)
        return (
            f"Somebody else ({who[1] if who else 'kubectl'}) has set a Deployment's replicas, as `kubectl scale` does, "
            "and Helm won't overwrite that: set the number in the values and deploy with ARGS=--force-conflicts, or "
            f"choose an autoscaler. Helm's words: {said.splitlines()[0]}"
        )
    return said
