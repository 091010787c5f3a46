"""Waiting for a release to be ready, and saying what is in its way when it isn't."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from scripts.deploy.kube import Kube
from scripts.refused import Refused

WORKLOADS = "deployments,statefulsets"
# Seconds that a pod may be in a state that often passes by itself, such as waiting for a Secret that is being made.
PATIENCE = 45
# Reasons for which no patience helps, with the way out.
HOPELESS = {
    "InvalidImageName": "correct image.repository and image.tag",
    "ErrImageNeverPull": "the node hasn't the image: make deploy builds and loads it",
}
WAY_OUT = {
    "ImagePullBackOff": "the image can't be pulled: check image.repository, image.tag and imagePullSecrets",
    "ErrImagePull": "the image can't be pulled: check image.repository, image.tag and imagePullSecrets",
    "CreateContainerConfigError": "a Secret or ConfigMap lacks what the container needs",
    "CrashLoopBackOff": "it ends as soon as it starts",
    "Unschedulable": "no node has room for it: lower its requests or add nodes",
}


def wait(kube: Kube, seconds: float, tell: Callable[[str], None]) -> None:
    """Return when every workload of the release is rolled out; `tell` hears of each.

    Raises Refused with the first pod in the way, as soon as that is sure, or after `seconds`.
    """
    began, done, stuck = time.monotonic(), set[str](), dict[str, float]()
    while True:
        waiting = []
        for item in kube.items(WORKLOADS):
            name = f"{item['kind'].lower()}/{item['metadata']['name']}"
            if not rolled_out(item):
                waiting.append(name)
            elif name not in done:
                done.add(name)
                tell(f"  ready {time.monotonic() - began:5.1f} s  {name}")
        if done and not waiting:
            return
        _refuse_hopeless(kube, stuck)
        if time.monotonic() - began > seconds:
            troubles = [trouble for _, trouble in (troubled(pod) for pod in kube.items("pods")) if trouble]
            why = troubles[0] if troubles else f"its pods run and aren't ready yet: {_unready_words(kube)}"
            raise Refused(f"Not ready after {seconds:.0f} s: {', '.join(waiting) or 'nothing is there'}: {why}.")
        time.sleep(1)


def rolled_out(item: dict[str, Any]) -> bool:
    """Return whether a Deployment or StatefulSet runs what its spec says, and nothing older."""
    spec, status = item["spec"], item.get("status", {})
    wanted = spec.get("replicas", 1)
    current = status.get("updatedReplicas", 0) == wanted and status.get("replicas", 0) == wanted
    seen = status.get("observedGeneration", 0) >= item["metadata"]["generation"]
    if item["kind"] == "StatefulSet":
        current = current or (
            wanted == status.get("currentReplicas") and status["currentRevision"] == status["updateRevision"]
        )
    return bool(seen and current and status.get("readyReplicas", 0) == wanted)


def troubled(pod: dict[str, Any]) -> tuple[str, str]:
    """Return the reason and a sentence of what keeps a pod from running; both empty when nothing does."""
    name, status = pod["metadata"]["name"], pod.get("status", {})
    for condition in status.get("conditions", []):
        if condition.get("reason") == "Unschedulable":
            return "Unschedulable", f"{name}: {WAY_OUT['Unschedulable']} ({condition['message']})"
    for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        waiting = container.get("state", {}).get("waiting", {})
        reason = waiting.get("reason", "")
        if reason in HOPELESS or reason in WAY_OUT:
            way_out, message = HOPELESS.get(reason) or WAY_OUT[reason], waiting.get("message", "")
            return reason, f"{name} is in {reason}: {way_out} ({message})"
    return "", ""


def _refuse_hopeless(kube: Kube, stuck: dict[str, float]) -> None:
    now, seen = time.monotonic(), set[str]()
    items = kube.items("pods,jobs")
    passwords_made = all(_succeeded(item) for item in items if item["kind"] == "Job")
    for pod in (item for item in items if item["kind"] == "Pod"):
        reason, sentence = troubled(pod)
        name = pod["metadata"]["name"]
        if not reason or reason == "Unschedulable" or pod["metadata"].get("deletionTimestamp"):
            continue
        if reason == "CreateContainerConfigError" and not passwords_made:
            # It waits for the passwords, and their Job for its image.
            continue
        seen.add(name)
        since = stuck.setdefault(name, now)
        if reason in HOPELESS or now - since > PATIENCE:
            raise Refused(f"{sentence}. Its last words: {last_words(kube, pod) or 'none'}")
    for name in set(stuck) - seen:
        del stuck[name]


def _succeeded(job: dict[str, Any]) -> bool:
    return bool(job.get("status", {}).get("succeeded"))


def _unready_words(kube: Kube) -> str:
    for pod in reversed(kube.items("pods")):
        ready = {condition["type"]: condition["status"] for condition in pod.get("status", {}).get("conditions", [])}
        if ready.get("Ready") != "True" and pod["status"].get("phase") == "Running":
            return f"{pod['metadata']['name']} says: {last_words(kube, pod) or 'nothing'} (longer: TIMEOUT=seconds)"
    return "give it longer with TIMEOUT=seconds"


def last_words(kube: Kube, pod: dict[str, Any]) -> str:
    """Return the last line that a pod's first container logged, in its last life if it has none in this."""
    for options in ((), ("--previous",)):
        try:
            text = kube.kubectl("logs", pod["metadata"]["name"], "--tail", "5", *options)
        except Refused:
            continue
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if lines:
            return lines[-1][:500]
    return ""
