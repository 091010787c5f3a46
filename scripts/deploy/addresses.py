"""Where a release's API and Flower are, and how to get in: the words a person needs after `make deploy`."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from scripts.cluster import engine
from scripts.cluster.client import Client
from scripts.deploy import monitoring
from scripts.deploy.environment import Environment
from scripts.deploy.kube import Kube
from scripts.refused import Refused


def mapped(environment: Environment) -> dict[int, int]:
    """Return this machine's port for each node port of a kind cluster on it; none for a cluster elsewhere."""
    kind, _, name = environment.context.partition("-")
    host = engine.find() if kind == "kind" else None
    # What is only shown ends no deployment.
    with suppress(Refused):
        return Client(name, host).ports() if host else {}
    return {}


def find(kube: Kube, ports: Mapping[int, int]) -> dict[str, str]:
    """Return addresses and logins by name; `ports` are those of this machine by the node port that they lead to.

    A password is shown for a cluster on this machine only; elsewhere, where what is printed ends up in somebody's log,
    the command that reads it.
    """
    local = kube.environment.brings_its_image
    kubectl = f"kubectl --context {kube.environment.context} --namespace {kube.environment.namespace}"
    flower = _variables(kube, "flower")
    found = {}
    for item in kube.items("services"):
        component = item["metadata"]["labels"]["app.kubernetes.io/component"]
        port = item["spec"]["ports"][0]
        if component in ("broker", "kube-state-metrics"):
            continue
        here = ports.get(port.get("nodePort", 0))
        path = flower.get("FLOWER_URL_PREFIX", "") if component == "flower" else ""
        forward = f"{kubectl} port-forward service/{item['metadata']['name']} {port['port']}"
        found[component] = f"http://127.0.0.1:{here}{path}" if here else forward
    user = flower.get("FLOWER_BASIC_AUTH", "").partition(":")[0]
    for item in kube.items("secrets"):
        for key, label, form in (
            ("api-token", "API token", "Bearer {}"),
            ("flower-password", "Flower login", f"user {user}, password {{}}"),
            ("admin-password", "Grafana login", f"user {monitoring.USER}, password {{}}"),
        ):
            if value := (item.get("data") or {}).get(key):
                template = f"'{{{{ index .data \"{key}\" | base64decode }}}}'"
                command = f"$({kubectl} get secret {item['metadata']['name']} --output go-template={template})"
                found[label] = form.format(base64.b64decode(value).decode() if local else command)
    return found


def _variables(kube: Kube, component: str) -> dict[str, str]:
    """Return the plain variables of a component's first container, by name."""
    items: list[dict[str, Any]] = kube.items("deployments", **{"app.kubernetes.io/component": component})
    containers = [container for item in items for container in item["spec"]["template"]["spec"]["containers"][:1]]
    return {one["name"]: one.get("value", "") for container in containers for one in container.get("env", [])}
