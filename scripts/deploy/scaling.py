"""What scales each worker group, how far it has got, and why: `make scale-status`.

Work comes from the exporter where the release runs one; else from the metric that the group's HPA saw last.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from scripts.deploy.kube import Kube
from scripts.refused import Refused

# The exporter's page, read inside of its pod: no NetworkPolicy is in the way.
READ_PAGE = (
    "import urllib.request as r; print(r.urlopen('http://127.0.0.1:{port}/metrics', timeout=10).read().decode())"
)
MULTIPLES = {"m": 0.001, "k": 1e3, "M": 1e6}


@dataclass(frozen=True)
class Work:
    """Tasks of a group: those that wait, that run, and that a worker holds until their eta; None: nobody knows."""

    waiting: float | None = None
    running: float | None = None
    held: float | None = None
    # What the number of pods follows from: tasks, or slots by latency.
    wanted: float | None = None


@dataclass(frozen=True)
class Group:
    """One worker group. `pods` are ready, `wanted` is what its owner asks for, `draining` end their last tasks."""

    name: str
    engine: str
    pods: int
    wanted: int
    draining: int
    minimum: int
    maximum: int
    work: Work
    why: str


def groups(kube: Kube) -> list[Group]:
    """Return the release's worker groups. Raises Refused when the cluster doesn't answer."""
    scaled = {item["spec"]["scaleTargetRef"]["name"]: item for item in _scaled_objects(kube)}
    hpas = {
        item["spec"]["scaleTargetRef"]["name"]: item for item in kube.json("get", "horizontalpodautoscalers")["items"]
    }
    leaving = [
        pod["metadata"]["labels"]["worker-group"]
        for pod in kube.items("pods", **{"app.kubernetes.io/component": "worker"})
        if pod["metadata"].get("deletionTimestamp")
    ]
    page = _page(kube)
    found = []
    for deployment in kube.items("deployments", **{"app.kubernetes.io/component": "worker"}):
        name, group = deployment["metadata"]["name"], deployment["metadata"]["labels"]["worker-group"]
        work = _from_page(page, group) if page else _from_hpa(hpas.get(name))
        found.append(_group(group, deployment, scaled.get(name), hpas.get(name), leaving.count(group), work))
    return found


def table(found: Iterable[Group]) -> str:
    """Return the groups as a table for people."""
    head = ("group", "engine", "pods", "wanted", "draining", "from-to", "waiting", "running", "held", "why")
    rows: list[tuple[str, ...]] = [head]
    for group in found:
        limits = "-" if group.engine == "none" else f"{group.minimum}-{group.maximum}"
        amounts = (group.work.waiting, group.work.running, group.work.held)
        numbers = ("?" if amount is None else f"{amount:.0f}" for amount in amounts)
        counts = (str(group.pods), str(group.wanted), str(group.draining))
        rows.append((group.name, group.engine, *counts, limits, *numbers, group.why))
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def as_json(found: Iterable[Group]) -> list[dict[str, Any]]:
    """Return the groups for machines."""
    return [asdict(group) for group in found]


def _group(
    name: str,
    deployment: dict[str, Any],
    scaled: dict[str, Any] | None,
    hpa: dict[str, Any] | None,
    draining: int,
    work: Work,
) -> Group:
    spec, status = deployment["spec"], deployment.get("status", {})
    wanted, ready = spec.get("replicas", 1), status.get("readyReplicas", 0)
    engine = "keda" if scaled else "hpa" if hpa else "none"
    minimum = maximum = wanted
    if scaled:
        minimum, maximum = scaled["spec"].get("minReplicaCount", 0), scaled["spec"].get("maxReplicaCount", 100)
    elif hpa:
        minimum, maximum = hpa["spec"].get("minReplicas", 1), hpa["spec"]["maxReplicas"]
    why = _why(engine, wanted, ready, maximum, work, _conditions(scaled), _conditions(hpa))
    return Group(name, engine, ready, wanted, draining, minimum, maximum, work, why)


def _why(
    engine: str,
    wanted: int,
    ready: int,
    maximum: int,
    work: Work,
    scaled: dict[str, tuple[str, str]],
    hpa: dict[str, tuple[str, str]],
) -> str:
    """Return the first thing that holds, the worst first."""
    limited = hpa.get("ScalingLimited") == ("True", "TooManyReplicas")
    unreadable = scaled.get("Fallback", ("", ""))[0] == "True" or (
        wanted > 0 and hpa.get("ScalingActive", ("", ""))[0] == "False"
    )
    reasons = (
        (engine == "none", "fixed: replicas of the values"),
        (scaled.get("Paused", ("", ""))[0] == "True", "paused by an annotation of its ScaledObject"),
        (unreadable, "what it scales by can't be read: the number is held"),
        (wanted >= maximum and limited, f"AT ITS MAXIMUM of {maximum}, and there is work for more"),
        (wanted > ready, "pods are starting"),
        (wanted == 0, "no work: costs nothing"),
        (scaled.get("Active", ("", ""))[1] == "ScalerCooldown", "no work: the last pods go after the cooldown"),
        (hpa.get("AbleToScale", ("", ""))[1] == "ScaleDownStabilized", "work has fallen: waits whether it stays so"),
        (bool(work.held) and not (work.waiting or work.running), "kept for tasks that wait for their eta"),
    )
    return next((words for holds, words in reasons if holds), "as many as the work needs")


def _conditions(item: dict[str, Any] | None) -> dict[str, tuple[str, str]]:
    found = (item or {}).get("status", {}).get("conditions", [])
    return {condition["type"]: (condition["status"], condition.get("reason", "")) for condition in found}


def _scaled_objects(kube: Kube) -> list[dict[str, Any]]:
    # A cluster without KEDA has no such kind.
    known = kube.kubectl("api-versions").split()
    return kube.items("scaledobjects") if "keda.sh/v1alpha1" in known else []


def _page(kube: Kube) -> dict[str, dict[str, float]]:
    """Return the exporter's gauges by name and group, empty when there is no exporter that answers."""
    found: dict[str, dict[str, float]] = {}
    pods = kube.items("pods", **{"app.kubernetes.io/component": "exporter"})
    for pod in pods:
        with suppress(Refused):
            port = pod["spec"]["containers"][0]["ports"][0]["containerPort"]
            code = READ_PAGE.format(port=port)
            text = kube.kubectl("exec", pod["metadata"]["name"], "--", "python", "-c", code)
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    if "group" in sample.labels:
                        found.setdefault(sample.name, {})[sample.labels["group"]] = sample.value
            break
    return found


def _from_page(page: dict[str, dict[str, float]], group: str) -> Work:
    work, in_flight, held = (page.get(f"celery_group_{name}", {}).get(group) for name in ("work", "in_flight", "held"))
    if work is None or in_flight is None or held is None:
        return Work()
    return Work(work + held - in_flight, in_flight - held, held, page["celery_group_slots_wanted"].get(group))


def _from_hpa(hpa: dict[str, Any] | None) -> Work:
    for metric in (hpa or {}).get("status", {}).get("currentMetrics") or []:
        average = metric.get("external", {}).get("current", {}).get("averageValue")
        if average is not None:
            # KEDA gives the HPA the work as an average over the pods that it had then.
            return Work(wanted=_number(average) * (hpa or {})["status"].get("currentReplicas", 0))
    return Work()


def _number(quantity: str) -> float:
    unit = quantity[-1]
    return float(quantity[:-1]) * MULTIPLES[unit] if unit in MULTIPLES else float(quantity)
