"""The network, made and taken away in moto."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import terraform

pytestmark = pytest.mark.timeout(280)

VARIABLES = """
name                = "celery"
availability_zones  = ["eu-central-1a", "eu-central-1b"]
nat                 = "per_zone"
interface_endpoints = ["ecr.api", "ecr.dkr", "logs", "sts"]
"""


def test_a_second_apply_of_the_network_changes_nothing_and_destroy_leaves_nothing(tmp_path: Path) -> None:
    place = terraform.copy(tmp_path) / "modules" / "network"
    with terraform.moto(tmp_path) as world:
        (place / "here.auto.tfvars").write_text(VARIABLES)
        world = terraform.World({**world.env, "AWS_REGION": terraform.REGION}, folder=tmp_path)
        world.does(place, "init", "-input=false")
        world.does(place, "apply", "-input=false", "-auto-approve", "-parallelism=20")
        made = world.resources(place)
        assert {"aws_vpc.this", "aws_flow_log.this", 'aws_nat_gateway.this["eu-central-1b"]'} <= set(made)
        assert world.changes(place) == {}
        world.does(place, "destroy", "-input=false", "-auto-approve", "-parallelism=20")
        assert world.resources(place) == []
