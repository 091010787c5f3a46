"""The cluster's name and ports, and what kind is told, without a cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.cluster import private_engine
from scripts.cluster.client import mapped
from scripts.cluster.config import PORTS, Config
from scripts.refused import Refused
from scripts.versions import numbers, pinned


def test_without_any_wish_the_cluster_is_celery_with_the_readmes_ports() -> None:
    config = Config.from_environment({"CLUSTER_NAME": "", "CLUSTER_API_PORT": ""})
    assert config.context == "kind-celery"
    assert dict(config.ports) == {name: default for name, (_, default) in PORTS.items()}


@pytest.mark.parametrize(
    ("variable", "text"),
    [("CLUSTER_NAME", "My Cluster"), ("CLUSTER_API_PORT", "http"), ("CLUSTER_FLOWER_PORT", "70000")],
)
def test_what_can_not_be_is_refused_by_its_name(variable: str, text: str) -> None:
    with pytest.raises(Refused, match=rf"{variable} is '{text}': allowed") as refused:
        Config.from_environment({variable: text})
    assert refused.value.code == 2


def test_one_port_for_two_services_is_refused() -> None:
    with pytest.raises(Refused, match="give each a port of its own"):
        Config.from_environment({"CLUSTER_API_PORT": "9000", "CLUSTER_FLOWER_PORT": "9000"})


def test_kind_is_told_the_ports_on_the_loopback_and_the_pinned_node() -> None:
    told = Config.from_environment({"CLUSTER_API_PORT": "28000"}).kind()
    assert "{listenAddress: 127.0.0.1, hostPort: 28000, containerPort: 30800}" in told
    assert told.count(f"image: kindest/node:v{pinned('KUBERNETES_VERSION')}") == 3
    assert "$" not in told


def test_which_ports_lead_to_a_node_is_read_out_of_what_docker_says() -> None:
    told = (
        '{"30555/tcp":[{"HostIp":"127.0.0.1","HostPort":"15555"}],"6443/tcp":[{"HostIp":"127.0.0.1","HostPort":"33183"}]}\n'
        '{"30800/tcp":null}\n{}'
    )
    assert mapped(told) == {30555: 15555, 6443: 33183}
    assert mapped("") == {}


def test_only_a_machine_that_needs_it_gets_patches() -> None:
    told = Config.from_environment({}).kind()
    assert ("failCgroupV1" in told) == (not Path("/sys/fs/cgroup/cgroup.controllers").exists())
    assert ("restrict_oom_score_adj" in told) == private_engine.lacks_sys_resource()


def test_a_missing_pin_says_where_it_belongs() -> None:
    with pytest.raises(Refused, match=r"versions.env has no NO_SUCH_VERSION: add a line"):
        pinned("NO_SUCH_VERSION")


def test_versions_compare_by_their_numbers() -> None:
    assert numbers("v1.37.2") > numbers("1.9.10")
    assert numbers("4.0.0-rc.1") == (4, 0, 0)
