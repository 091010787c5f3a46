"""Ports fit together, and the policies let through what a release needs and nothing else.

The policies are evaluated here by the rules of the API's documentation; whether a network enforces them is not run.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.helm import NAMESPACE, PREFIX, Objects, Thing, render

ANYWHERE = "203.0.113.7"
CREDENTIALS = "169.254.169.254"
# EKS Pod Identity's agent, by its two addresses.
AGENT = ("169.254.170.23", "fd00:ec2::23")


@dataclass(frozen=True)
class Peer:
    """One end of a connection: a pod by its labels, or an address outside of the cluster."""

    labels: dict[str, str] = field(default_factory=dict)
    namespace: str = ""
    address: str = "10.244.1.2"
    ports: dict[str, int] = field(default_factory=dict)


def pod(objects: Objects, name: str) -> Peer:
    found = objects.pods[f"{PREFIX}-{name}"]
    ports = {
        item["name"]: item["containerPort"] for one in found["spec"]["containers"] for item in one.get("ports", [])
    }
    return Peer(found["metadata"]["labels"], NAMESPACE, ports=ports)


DNS = Peer({"k8s-app": "kube-dns"}, "kube-system")
KEDA = Peer({"app": "keda-operator"}, "keda")
NEIGHBOUR = Peer({"app": "other"}, NAMESPACE)
STRANGER = Peer({"app": "other"}, "other")


def selected(selector: Thing, labels: dict[str, str]) -> bool:
    if not selector.get("matchLabels", {}).items() <= labels.items():
        return False
    for rule in selector.get("matchExpressions", []):
        assert rule["operator"] == "In"
        if labels.get(rule["key"]) not in rule["values"]:
            return False
    return True


def is_peer(rule: Thing, peer: Peer) -> bool:
    if "ipBlock" in rule:
        block, address = rule["ipBlock"], ipaddress.ip_address(peer.address)
        inside = [ipaddress.ip_network(net) for net in (block["cidr"], *block.get("except", []))]
        return address in inside[0] and not any(address in net for net in inside[1:])
    there = {"kubernetes.io/metadata.name": peer.namespace}
    if "namespaceSelector" in rule:
        in_namespace = selected(rule["namespaceSelector"], there)
    else:
        in_namespace = peer.namespace == NAMESPACE
    return bool(peer.namespace) and in_namespace and selected(rule.get("podSelector", {}), peer.labels)


def way(objects: Objects, direction: str, here: Peer, there: Peer, target: Peer, port: int) -> bool:
    """Return whether the policies of `here` let a connection to `target`:`port` through, in one direction."""
    policies = [
        item["spec"]
        for item in objects.of("NetworkPolicy").values()
        if here.namespace == NAMESPACE
        and selected(item["spec"]["podSelector"], here.labels)
        and direction.capitalize() in item["spec"]["policyTypes"]
    ]
    if not policies:
        return True
    for rule in (rule for policy in policies for rule in policy.get(direction, [])):
        peers = rule.get("from" if direction == "ingress" else "to")
        ports = {target.ports.get(item["port"], item["port"]) for item in rule.get("ports", [{"port": port}])}
        if port in ports and (peers is None or any(is_peer(peer, there) for peer in peers)):
            return True
    return False


def allowed(objects: Objects, source: Peer, target: Peer, port: int) -> bool:
    return way(objects, "egress", source, target, target, port) and way(
        objects, "ingress", target, source, target, port
    )


def test_every_service_leads_to_a_port_that_its_pods_have(objects: Objects) -> None:
    for name, service in objects.of("Service").items():
        ports = pod(objects, name.removeprefix(f"{PREFIX}-")).ports
        # A page of metrics is read from each pod.
        expected = [port for port in ports if port != "metrics"]
        assert [item["targetPort"] for item in service["spec"]["ports"]] == expected, name


def test_every_probe_and_route_leads_to_a_port_that_is_there(objects: Objects) -> None:
    for name, container in objects.containers.items():
        ports = {item["name"] for item in container.get("ports", [])}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            if "httpGet" in container.get(probe, {}):
                assert container[probe]["httpGet"]["port"] in ports, f"{name} {probe}"
    for name, route in objects.of("HTTPRoute").items():
        (backend,) = route["spec"]["rules"][0]["backendRefs"]
        assert backend["port"] in [port["port"] for port in objects["Service", backend["name"]]["spec"]["ports"]], name
    for ingress in objects.of("Ingress").values():
        backend = ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
        assert backend["port"]["name"] in [
            port["name"] for port in objects["Service", backend["name"]]["spec"]["ports"]
        ]


def test_policies_open_the_ports_that_the_pods_have_and_no_others(objects: Objects) -> None:
    for name in objects.workloads:
        target = pod(objects, name.removeprefix(f"{PREFIX}-"))
        opened = {
            item["port"]
            for policy in objects.of("NetworkPolicy").values()
            if selected(policy["spec"]["podSelector"], target.labels)
            for rule in policy["spec"].get("ingress", [])
            for item in rule["ports"]
        }
        assert opened == set(target.ports), name


def test_every_workload_is_under_a_policy_in_both_directions(objects: Objects) -> None:
    policies = objects.of("NetworkPolicy").values()
    for name, workload in {**objects.workloads, **objects.of("Job")}.items():
        labels = workload["spec"]["template"]["metadata"]["labels"]
        types = [item["spec"]["policyTypes"] for item in policies if selected(item["spec"]["podSelector"], labels)]
        assert types == [["Ingress", "Egress"]], name


CLIENTS = ["worker-email", "worker-default", "beat", "flower", "api", "test"]


@pytest.mark.parametrize("client", CLIENTS)
def test_what_needs_the_broker_reaches_it_and_dns(client: str) -> None:
    objects = render()
    assert allowed(objects, pod(objects, client), pod(objects, "broker"), 6379)
    assert allowed(objects, pod(objects, client), DNS, 53)


def test_the_test_of_the_release_reaches_flower_and_the_api() -> None:
    objects = render()
    assert allowed(objects, pod(objects, "test"), pod(objects, "flower"), 5555)
    assert allowed(objects, pod(objects, "test"), pod(objects, "api"), 8000)


def test_the_scaler_reaches_the_broker() -> None:
    objects = render()
    assert allowed(objects, KEDA, pod(objects, "broker"), 6379)


@pytest.mark.parametrize("peer", [NEIGHBOUR, STRANGER, Peer(address=ANYWHERE)], ids=["neighbour", "stranger", "world"])
def test_nobody_else_reaches_the_broker(peer: Peer) -> None:
    objects = render()
    assert not allowed(objects, peer, pod(objects, "broker"), 6379)


def test_a_producer_elsewhere_reaches_the_broker_once_it_is_named() -> None:
    web = Peer({"app": "web"}, "web")
    named = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "web"}}}]
    assert not allowed(render(), web, pod(render(), "broker"), 6379)
    objects = render({"networkPolicy": {"producers": named}})
    assert allowed(objects, web, pod(objects, "broker"), 6379)


def test_flower_and_the_api_are_opened_by_the_namespace_and_by_who_is_named() -> None:
    objects, gateway = render(), Peer({"app": "nginx"}, "ingress-nginx")
    opened = render(
        {
            "networkPolicy": {
                "clients": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}}]
            }
        }
    )
    for name, port in (("flower", 5555), ("api", 8000)):
        assert allowed(objects, NEIGHBOUR, pod(objects, name), port)
        assert not allowed(objects, gateway, pod(objects, name), port)
        assert allowed(opened, gateway, pod(opened, name), port)


@pytest.mark.parametrize("component", ["broker", "beat", "flower"])
def test_what_has_no_business_outside_stays_inside(component: str) -> None:
    objects = render()
    assert not allowed(objects, pod(objects, component), Peer(address=ANYWHERE), 443)
    assert not allowed(objects, pod(objects, component), pod(objects, "api"), 8000)


@pytest.mark.parametrize("component", ["worker-email", "api"])
def test_tasks_reach_the_world_but_not_the_clouds_credentials(component: str) -> None:
    objects = render()
    source = pod(objects, component)
    for address in (ANYWHERE, "2001:db8::1"):
        assert allowed(objects, source, Peer(address=address), 443), address
    for address in (CREDENTIALS, *AGENT, "fd00:ec2::254", "fe80::1"):
        assert not allowed(objects, source, Peer(address=address), 80), address


@pytest.mark.parametrize("component", ["worker-email", "api"])
def test_the_world_can_be_narrowed_without_losing_broker_and_dns(component: str) -> None:
    objects = render({"networkPolicy": {"egress": [{"to": [{"ipBlock": {"cidr": "192.168.0.0/16"}}]}]}})
    source = pod(objects, component)
    assert not allowed(objects, source, Peer(address=ANYWHERE), 443)
    assert allowed(objects, source, Peer(address="192.168.2.3"), 443)
    assert allowed(objects, source, pod(objects, "broker"), 6379)
    assert allowed(objects, source, DNS, 53)


@pytest.mark.parametrize("egress", [[], [{"to": [{"ipBlock": {"cidr": "192.168.0.0/16"}}]}]], ids=["open", "narrowed"])
@pytest.mark.parametrize("component", ["worker-email", "api", "beat"])
def test_the_agent_of_pod_identity_is_reached_by_workers_and_the_api_besides_what_they_may_anyway(
    component: str, egress: list[Thing]
) -> None:
    before, objects = (render({"networkPolicy": {"egress": egress, "podIdentity": on}}) for on in (False, True))
    source = pod(objects, component)
    for address in AGENT:
        assert allowed(objects, source, Peer(address=address), 80) == (component != "beat"), address
        assert not allowed(objects, source, Peer(address=address), 443), address
    others = (CREDENTIALS, "169.254.170.2", "fd00:ec2::254", "fe80::1", ANYWHERE, "2001:db8::1", "192.168.2.3")
    for address in others:
        now = allowed(objects, source, Peer(address=address), 80)
        assert now == allowed(before, source, Peer(address=address), 80), address


def test_pods_that_get_or_lose_their_identity_are_made_anew_and_no_others() -> None:
    """The variables that lead to the agent are put into a pod when it is made."""
    before, after = (render({"networkPolicy": {"podIdentity": on}}) for on in (False, True))
    changed = {name for name in before.pods if before.pods[name] != after.pods[name]}
    assert changed == {f"{PREFIX}-api", *(f"{PREFIX}-worker-{group}" for group in before.groups)}
    assert {name: pod["spec"] for name, pod in before.pods.items()} == {
        name: pod["spec"] for name, pod in after.pods.items()
    }


@pytest.mark.parametrize(
    ("external", "ports"),
    [
        ({"host": "r.example.com", "port": 6380}, [6380]),
        ({"sentinel": {"masterName": "m", "hosts": ["s:26379", "t:26380"]}}, [6379, 26379, 26380]),
    ],
    ids=["host", "sentinels"],
)
def test_an_external_broker_is_reached_by_its_port(external: dict[str, Any], ports: list[int]) -> None:
    objects = render({"broker": {"external": external}})
    for port in ports:
        assert allowed(objects, pod(objects, "beat"), Peer(address=ANYWHERE), port), port
    assert not allowed(objects, pod(objects, "beat"), Peer(address=ANYWHERE), 443)


def test_the_job_reaches_the_api_server_and_nobody_reaches_the_job() -> None:
    objects = render()
    (name,) = objects.of("Job")
    job = pod(objects, name.removeprefix(f"{PREFIX}-"))
    assert allowed(objects, job, Peer(address="10.96.0.1"), 443)
    assert not allowed(objects, job, pod(objects, "broker"), 6379)
    assert not allowed(objects, NEIGHBOUR, job, 80)


def test_policies_can_be_left_out() -> None:
    assert render({"networkPolicy": {"enabled": False}}).of("NetworkPolicy") == {}
