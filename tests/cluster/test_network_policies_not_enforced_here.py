"""The NetworkPolicies allow what a real run connects, and nothing else that matters; enforcement itself was not run."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.cluster import Release, merged
from tests.support.networkpolicy import Peer, allowed, pod_peer
from tests.support.stack import until

ESTABLISHED, LISTEN = "01", "0A"
EVERYTHING = {
    "workers": {"defaults": {"autoscaling": {"engine": "keda", "maxReplicas": 2}}},
    "api": {"enabled": True, "replicas": 1},
    "flower": {"enabled": True},
    "exporter": {"enabled": True},
}
# One group by latency, so that KEDA asks the exporter.
EVERYTHING["workers"]["exampleGroups"] = {"email": {"autoscaling": {"policy": "latency"}}}


class Seen:
    """Who connected to whom: every pod of the cluster, the policies, and the connections that servers see."""

    def __init__(self, release: Release) -> None:
        kube = release.kube
        # An ended pod's address may be another's by now.
        ended = ("--field-selector", "status.phase!=Succeeded,status.phase!=Failed")
        everywhere = kube.json("get", "pods", "--all-namespaces", *ended)["items"]
        namespaces = {
            item["metadata"]["name"]: item["metadata"]["labels"] for item in kube.json("get", "namespaces")["items"]
        }
        self.peers = [pod_peer(pod, namespaces) for pod in everywhere if not pod["spec"].get("hostNetwork")]
        self.by_ip = {peer.ip: peer for peer in self.peers}
        self.policies = kube.json("get", "networkpolicies")["items"]
        self.own = {peer.name: peer for peer in self.peers if peer.namespace == kube.environment.namespace}

    def of(self, component: str) -> Peer:
        return next(p for p in self.own.values() if p.labels.get("app.kubernetes.io/component") == component)


@pytest.fixture(scope="module")
def release(releases: Callable[..., Release]) -> Release:
    release = releases()
    release.install(merged(EVERYTHING))
    release.smoke()
    return release


def connections(release: Release, pod: str) -> set[tuple[str, int]]:
    """Return (client's address, own port) of the connections that a pod has accepted."""
    text = release.execute(pod, "sh", "-c", "cat /proc/net/tcp /proc/net/tcp6")
    rows = [line.split() for line in text.splitlines() if ":" in line.split()[0]]
    listening = {_end(row[1])[1] for row in rows if row[3] == LISTEN}
    return {
        (_end(row[2])[0], _end(row[1])[1]) for row in rows if row[3] == ESTABLISHED and _end(row[1])[1] in listening
    }


def _end(text: str) -> tuple[str, int]:
    address, port = text.split(":")
    return socket.inet_ntoa(struct.pack("<I", int(address[-8:], 16))), int(port, 16)


def test_every_connection_that_was_made_is_allowed(release: Release) -> None:
    needed = {"worker", "beat", "flower", "exporter", "api"}

    def to_broker() -> set[str]:
        # These two ask Redis when they are asked themselves.
        for component, address in (("api", "127.0.0.1:8000/readyz"), ("exporter", "127.0.0.1:9808/metrics")):
            code = f"import urllib.request as r; r.urlopen('http://{address}', timeout=10)"
            release.execute(release.workload(component), "python", "-c", code)
        seen = Seen(release)
        clients = [seen.by_ip.get(ip) for ip, _ in connections(release, "celery-broker-0")]
        return {peer.labels.get("app.kubernetes.io/component", peer.namespace) for peer in clients if peer}

    for component in sorted(needed):
        until(lambda component=component: component in to_broker(), 60, f"{component} is connected to the broker")
    seen = Seen(release)
    for server in seen.own.values():
        if server.name == release.producer or server.labels.get("app.kubernetes.io/component") in ("test", "secret"):
            continue
        for ip, port in connections(release, server.name):
            client = seen.by_ip.get(ip)
            # The kubelet's probes come from the node, which policies never keep out.
            if client is not None:
                assert allowed(seen.policies, client, server, port), f"{client.name} -> {server.name}:{port}"


def test_keda_may_read_the_queues(release: Release) -> None:
    seen = Seen(release)
    operator = next(peer for peer in seen.peers if peer.namespace == "keda")
    assert allowed(seen.policies, operator, seen.of("broker"), 6379)
    assert allowed(seen.policies, operator, seen.of("exporter"), 9808)


@pytest.mark.parametrize("component", ["worker", "beat", "flower", "exporter", "api"])
def test_names_can_be_looked_up(release: Release, component: str) -> None:
    seen = Seen(release)
    dns = next(peer for peer in seen.peers if peer.labels.get("k8s-app") == "kube-dns")
    for protocol in ("UDP", "TCP"):
        assert allowed(seen.policies, seen.of(component), dns, 53, protocol)


def test_a_stranger_reaches_no_pod(release: Release) -> None:
    seen = Seen(release)
    stranger = Peer("10.244.99.9", "stranger", "elsewhere", {}, {"kubernetes.io/metadata.name": "elsewhere"})
    for component, port in {"broker": 6379, "flower": 5555, "exporter": 9808, "api": 8000, "worker": 1}.items():
        assert not allowed(seen.policies, stranger, seen.of(component), port), component


def test_a_neighbour_opens_the_api_and_flower_but_not_the_broker(release: Release) -> None:
    seen = Seen(release)
    namespace = release.kube.environment.namespace
    labels: dict[str, Any] = {"kubernetes.io/metadata.name": namespace}
    neighbour = Peer("10.244.99.9", "neighbour", namespace, {"app": "web"}, labels)
    assert allowed(seen.policies, neighbour, seen.of("api"), 8000)
    assert allowed(seen.policies, neighbour, seen.of("flower"), 5555)
    assert not allowed(seen.policies, neighbour, seen.of("broker"), 6379)


def test_beat_flower_and_the_broker_reach_nothing_else_and_workers_no_credentials(release: Release) -> None:
    seen = Seen(release)
    outside, metadata = Peer("203.0.113.7"), Peer("169.254.169.254")
    for component in ("beat", "flower", "exporter", "broker"):
        assert not allowed(seen.policies, seen.of(component), outside, 443), component
    for component in ("worker", "api"):
        assert allowed(seen.policies, seen.of(component), outside, 443), component
        assert not allowed(seen.policies, seen.of(component), metadata, 80), component


def test_a_policy_that_is_taken_away_is_missed(release: Release) -> None:
    seen = Seen(release)
    without = [policy for policy in seen.policies if policy["metadata"]["name"] != "celery-broker"]
    assert len(without) == len(seen.policies) - 1, json.dumps([p["metadata"]["name"] for p in seen.policies])
    stranger = Peer("10.244.99.9", "stranger", "elsewhere", {}, {})
    assert allowed(without, stranger, seen.of("broker"), 6379)
