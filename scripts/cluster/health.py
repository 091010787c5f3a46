"""Whether a cluster is ready, and waiting until it is."""

from __future__ import annotations

import json
from typing import Any

from scripts.cluster.addons import ADDONS
from scripts.cluster.client import Client
from scripts.refused import Refused

# Served by the add-ons through the API server: HPA and KEDA ask them.
SERVED = ("v1beta1.metrics.k8s.io", "v1beta1.external.metrics.k8s.io")


def node_states(client: Client) -> dict[str, bool]:
    """Return whether each node runs and is Ready, by name; as Docker and the cluster see it."""
    # The cluster calls a node Ready for 40 s after its death.
    running = client.nodes("status=running")
    try:
        answer = client.kubectl("get", "nodes", "-o", "json", "--request-timeout=5s", timeout=20) if running else ""
    except Refused:
        answer = ""
    nodes = json.loads(answer)["items"] if answer else []
    ready = {node["metadata"]["name"] for node in nodes if _holds(node, "Ready")}
    return {name: name in running and name in ready for name in client.nodes()}


def addon_states(client: Client) -> dict[str, bool]:
    """Return whether each add-on is available, by name; none is when the API server is away."""
    try:
        answer = client.kubectl("get", "deployments", "-A", "-o", "json", "--request-timeout=5s", timeout=20)
    except Refused:
        return {addon.name: False for addon in ADDONS}
    available = {each["metadata"]["name"] for each in json.loads(answer)["items"] if _holds(each, "Available")}
    return {addon.name: available.issuperset(addon.deployments) for addon in ADDONS}


def is_ready(client: Client) -> bool:
    """Return whether every node is Ready and every add-on available, now."""
    states = {**node_states(client), **addon_states(client)}
    return bool(states) and all(states.values())


def wait(client: Client, seconds: int) -> None:
    """Wait until the cluster is ready. Raises Refused with the way out after `seconds`."""
    hint = f"look with `kubectl --context {client.context} get pods -A`, or take it away and make it again"
    limit = f"--timeout={seconds}s"

    def until(*words: str) -> None:
        client.kubectl("wait", *words, limit, timeout=seconds + 10, hint=hint)

    until("nodes", "--all", "--for=condition=Ready")
    for namespace in ("kube-system", "local-path-storage", *(addon.namespace for addon in ADDONS)):
        until("deployments", "--all", "-n", namespace, "--for=condition=Available")
    until("apiservices", *SERVED, "--for=condition=Available")


def _holds(thing: dict[str, Any], condition: str) -> bool:
    conditions = thing["status"].get("conditions", [])
    return any(each["type"] == condition and each["status"] == "True" for each in conditions)
