"""Ports of this machine lead to where the environment's services listen: each to one, and none to nothing."""

from __future__ import annotations

import re

import yaml

from scripts.cluster.config import HERE, PORTS, Config
from scripts.deploy import environment
from tests.support import helm


def node_ports() -> dict[str, int]:
    """Return the node port of each component that asks for one, of both charts in the environment kind."""
    application = environment.load("kind")
    assert application.monitoring
    services = [
        service
        for each in (application, application.monitoring)
        for service in helm.render(
            helm.merged(yaml.safe_load(path.read_text(encoding="utf-8")) for path in each.values), chart=each.chart
        )
        .of("Service")
        .values()
    ]
    return {
        service["metadata"]["labels"]["app.kubernetes.io/component"]: port["nodePort"]
        for service in services
        for port in service["spec"]["ports"]
        if "nodePort" in port
    }


def test_every_node_port_of_the_environment_is_mapped_and_no_other() -> None:
    template = (HERE / "kind.yaml").read_text(encoding="utf-8")
    mapped = re.findall(r"hostPort: \$(\w+)_PORT, containerPort: (\d+)", template)
    assert {name.lower(): int(port) for name, port in mapped} == node_ports()
    assert len(mapped) == len(PORTS) == len(re.findall("hostPort", template))


def test_a_port_that_somebody_chooses_leads_to_its_component() -> None:
    chosen = {name: 20000 + number for number, name in enumerate(PORTS)}
    told = yaml.safe_load(Config("celery", chosen).kind())["nodes"][0]["extraPortMappings"]
    leads = {mapping["hostPort"]: mapping["containerPort"] for mapping in told}
    assert {name: leads[port] for name, port in chosen.items()} == node_ports()
    assert {mapping["listenAddress"] for mapping in told} == {"127.0.0.1"}
