"""What a CNI that enforces NetworkPolicies would decide, worked out from the objects.

Kind's network enforces none, so the tests ask this instead about the connections that a real run makes. The rules are
those of https://kubernetes.io/docs/concepts/services-networking/network-policies/.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any, Literal

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Peer:
    """One end of a connection: a pod with its labels, or an address outside of the cluster."""

    ip: str
    name: str = ""
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    # Port numbers by name, for policies that name a port.
    ports: Mapping[str, int] = field(default_factory=dict)


def pod_peer(pod: Object, namespaces: Mapping[str, Object]) -> Peer:
    """Return the peer that a pod is. `namespaces`: labels by name."""
    metadata = pod["metadata"]
    named = (port for container in pod["spec"]["containers"] for port in container.get("ports", []) if "name" in port)
    return Peer(
        pod["status"].get("podIP", ""),
        metadata["name"],
        metadata["namespace"],
        metadata.get("labels", {}),
        namespaces[metadata["namespace"]],
        {port["name"]: port["containerPort"] for port in named},
    )


def allowed(policies: Iterable[Object], client: Peer, server: Peer, port: int, protocol: str = "TCP") -> bool:
    """Return whether a connection may be made: the client's egress and the server's ingress both allow it."""
    policies = list(policies)
    return _passes(policies, "egress", client, server, server, port, protocol) and _passes(
        policies, "ingress", server, client, server, port, protocol
    )


def _passes(
    policies: list[Object],
    way: Literal["ingress", "egress"],
    subject: Peer,
    other: Peer,
    server: Peer,
    port: int,
    protocol: str,
) -> bool:
    kind = way.capitalize()
    isolating = [
        policy["spec"]
        for policy in policies
        if policy["metadata"]["namespace"] == subject.namespace
        and kind in policy["spec"]["policyTypes"]
        and selects(policy["spec"].get("podSelector", {}), subject.labels)
    ]
    rules = [rule for spec in isolating for rule in spec.get(way) or []]
    return not isolating or any(_rule_allows(rule, way, subject, other, server, port, protocol) for rule in rules)


def _rule_allows(rule: Object, way: str, subject: Peer, other: Peer, server: Peer, port: int, protocol: str) -> bool:
    peers, ports = rule.get("from" if way == "ingress" else "to"), rule.get("ports")
    return (not peers or any(_is(peer, other, subject.namespace) for peer in peers)) and (
        not ports or any(_port_is(each, server, port, protocol) for each in ports)
    )


def _port_is(wanted: Object, server: Peer, port: int, protocol: str) -> bool:
    number = wanted.get("port")
    if isinstance(number, str):
        number = server.ports.get(number)
    return wanted.get("protocol", "TCP") == protocol and (number is None or number == port)


def _is(wanted: Object, peer: Peer, namespace: str) -> bool:
    if block := wanted.get("ipBlock"):
        # Of a pod's address as of any other: that is how the common CNIs do it for what the cluster doesn't know.
        address = ip_address(peer.ip)
        inside = address in ip_network(block["cidr"]) if address.version == ip_network(block["cidr"]).version else False
        return inside and not any(address in ip_network(part) for part in block.get("except", []))
    if not peer.name:
        return False
    if "namespaceSelector" in wanted:
        return selects(wanted["namespaceSelector"], peer.namespace_labels) and selects(
            wanted.get("podSelector", {}), peer.labels
        )
    return peer.namespace == namespace and selects(wanted.get("podSelector", {}), peer.labels)


def selects(selector: Object, labels: Mapping[str, str]) -> bool:
    """Return whether a label selector matches."""
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for expression in selector.get("matchExpressions") or []:
        value, values = labels.get(expression["key"]), expression.get("values", [])
        holds = {
            "In": value in values,
            "NotIn": value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not holds[expression["operator"]]:
            return False
    return True
