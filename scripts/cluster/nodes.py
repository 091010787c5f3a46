"""What happens to nodes: killed, cut off the network, drained; each call waits, with a deadline, until the cluster saw.

A node is named as kubectl names it, `celery-worker`, which is its container's name too. Each raises Refused when its
deadline passes. All but `kill` can be repeated.
"""

from __future__ import annotations

import contextlib

from scripts.cluster.client import Client
from scripts.cluster.names import SERVICES
from scripts.refused import Refused

# Seconds: Kubernetes itself gives a silent node 40 s before it calls it unreachable.
LOST_WITHIN, BACK_WITHIN, DRAINED_WITHIN = 90, 120, 900
# Everything that enters or leaves the node or its pods; what stays inside of the node goes on.
CUT = (
    "INPUT --in-interface eth0",
    "OUTPUT --out-interface eth0",
    "FORWARD --in-interface eth0",
    "FORWARD --out-interface eth0",
)


def workers(client: Client) -> list[str]:
    """Return the names of the nodes that run pods of applications."""
    return client.nodes("label=io.x-k8s.kind.role=worker")


def kill(client: Client, node: str, seconds: int = LOST_WITHIN) -> None:
    """Take a node's power away and wait until the cluster calls it lost."""
    client.docker("kill", node)
    wait_lost(client, node, seconds)


def start(client: Client, node: str, seconds: int = BACK_WITHIN) -> None:
    """Give a node its power back and wait until it is Ready."""
    client.docker("start", node)
    keep_services_inside(client, node)
    wait_ready(client, node, seconds)


def keep_services_inside(client: Client, node: str) -> None:
    """Refuse what pods send to a Service that the node has no rule for yet.

    It would leave this machine, where a proxy may answer; KEDA then keeps that connection, and scales by it no more.
    """
    rule = f"FORWARD --destination {SERVICES} --jump REJECT"
    script = f"iptables --wait --check {rule} 2>/dev/null || iptables --wait --append {rule}"
    client.docker("exec", node, "sh", "-c", script)


def partition(client: Client, node: str, seconds: int = LOST_WITHIN) -> None:
    """Cut a node off every other machine while its pods run on, and wait until the cluster calls it lost."""
    _cut(client, node)
    wait_lost(client, node, seconds)


def heal(client: Client, node: str, seconds: int = BACK_WITHIN) -> None:
    """Undo `partition` and wait until the node is Ready."""
    _mend(client, node)
    wait_ready(client, node, seconds)


def drain(client: Client, node: str, seconds: int = DRAINED_WITHIN) -> None:
    """Move a node's pods elsewhere, as before maintenance; pods get the time to end that they asked for."""
    words = ("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", f"--timeout={seconds}s")
    client.kubectl(
        *words, timeout=seconds + 10, hint=f"see which pods stay with `kubectl get pods -A -o wide | grep {node}`"
    )


def uncordon(client: Client, node: str) -> None:
    """Let a drained node take pods again."""
    client.kubectl("uncordon", node)


def wait_lost(client: Client, node: str, seconds: int = LOST_WITHIN) -> None:
    """Wait until the cluster calls a node unreachable."""
    _wait(client, node, "Ready=Unknown", seconds)


def wait_ready(client: Client, node: str, seconds: int = BACK_WITHIN) -> None:
    """Wait until a node is Ready."""
    _wait(client, node, "Ready", seconds)


def _wait(client: Client, node: str, condition: str, seconds: int) -> None:
    words = ("wait", f"node/{node}", f"--for=condition={condition}", f"--timeout={seconds}s")
    client.kubectl(*words, timeout=seconds + 10, hint=f"look with `kubectl describe node {node}`")


def _cut(client: Client, node: str) -> None:
    _mend(client, node)
    for rule in CUT:
        client.docker("exec", node, "iptables", "--wait", "--insert", *rule.split(), "--jump", "DROP")


def _mend(client: Client, node: str) -> None:
    for rule in CUT:
        with contextlib.suppress(Refused):
            client.docker("exec", node, "iptables", "--wait", "--delete", *rule.split(), "--jump", "DROP")
