"""Environment aws, made and taken away by the commands behind make, where emulators play AWS.

What only Helm's provider understands is cut out (it is not everywhere to be had); what it would be given is rendered by
Helm itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support import helm, terraform
from tests.support.cli import Ended

pytestmark = pytest.mark.timeout(900)

# What ministack tells otherwise than it was told, so that a second plan wants to change it: what the plan would do, and
# each attribute that is a cause. What stands here and is clean fails the test, and so does what is dirty and doesn't.
# (In moto, the network's flow log is clean.)
NODES = {"launch_template": "forgotten", "update_config": "forgotten"}
FALSIFIED = {
    "module.broker.aws_elasticache_parameter_group.this": (
        ("update",),
        {"parameter": "the family's defaults are told as if they were set"},
    ),
    "module.broker.aws_elasticache_replication_group.this": (
        ("delete", "create"),
        {"kms_key_id": "forgotten", "auto_minor_version_upgrade": "told as false, whatever it is"},
    ),
    'module.cluster.aws_eks_node_group.this["system"]': (("create", "delete"), NODES),
    'module.cluster.aws_eks_node_group.this["workers"]': (("create", "delete"), NODES),
    "module.network.aws_flow_log.this": (
        ("delete", "create"),
        {
            "iam_role_arn": "forgotten",
            "max_aggregation_interval": "told as 0",
            "tags": "forgotten",
            "tags_all": "forgotten",
        },
    ),
}
VARIABLES = """
expected_account_id = "123456789012"
region              = "eu-central-1"
availability_zones  = ["eu-central-1a", "eu-central-1b"]
public_access_cidrs = ["198.51.100.7/32"]
access = {
  ops  = { principal_arn = "arn:aws:iam::123456789012:role/staff/ops", policy = "AmazonEKSClusterAdminPolicy" }
  team = { principal_arn = "arn:aws:iam::123456789012:role/team", policy = "AmazonEKSEditPolicy" }
}
image        = { repository = "registry.example.com/shop", tag = "1.0" }
policies     = { reports = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess" }
secret_store = "aws"
alarm_emails = ["oncall@example.com"]
"""
# What docs/aws.md applies the first time.
FIRST = ("-target=module.cluster", "-target=module.broker")
TOKEN = "a-password-for-tests-0123456789"


@dataclass
class Made:
    """What one life of the environment showed."""

    refused: Ended
    first: list[str]
    nodes_wait_for: set[str]
    resources: list[str]
    charts_wait_for: set[str]
    changes: dict[str, terraform.Change]
    values: list[dict[str, Any]]
    state: str
    outputs: dict[str, Any]
    cost: dict[str, Any]
    left: list[str]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("aws")
    copy = terraform.copy(folder)
    terraform.cut_helms_provider(copy)
    place = copy / "environments" / "aws"
    (place / "terraform.tfvars").write_text(VARIABLES)
    with terraform.two_emulators(folder) as world:
        world = terraform.World({**world.env, "TF_VAR_auth_token": TOKEN}, world.enter, folder=folder)
        where = ("--env", "aws", "--environments", str(copy / "environments"), "--yes", "--", "-parallelism=20")
        # A path as single sign-on's roles have one, which is in no session's own name.
        refused = world.role("team", "/staff/").script("apply", *where, *FIRST)
        assert not (place / "terraform.tfstate").exists(), refused.out[-2000:]
        world = world.role("ops", "/staff/")
        begun = world.script("apply", *where, *FIRST)
        assert begun.code == 0, begun.out[-2000:] + begun.err
        first = world.resources(place)
        nodes_wait_for = world.waits_for(place, "module.cluster", "aws_eks_node_group")
        applied = world.script("apply", *where)
        assert applied.code == 0, applied.out[-2000:] + applied.err
        resources, changes = world.resources(place), world.changes(place)
        charts_wait_for = world.waits_for(place, "module.release", "terraform_data")
        outputs = {name: output["value"] for name, output in json.loads(world.does(place, "output", "-json")).items()}
        shown = folder / "plan.json"
        shown.write_text(world.does(place, "show", "-json"))
        state = (place / "terraform.tfstate").read_text()
        counted = world.script(
            "cost",
            "--plan",
            str(shown),
            "--prices",
            str(terraform.ROOT / "terraform" / "prices.example.yaml"),
            "--json",
        )
        assert counted.code == 0, counted.err
        values = terraform.values(world, place)
        destroyed = world.script("destroy", *where)
        assert destroyed.code == 0, destroyed.out[-2000:] + destroyed.err
        yield Made(
            refused,
            first,
            nodes_wait_for,
            resources,
            charts_wait_for,
            changes,
            values,
            state,
            outputs,
            json.loads(counted.out),
            world.resources(place),
        )


def test_who_could_not_install_the_charts_is_told_what_to_write_before_anything_is_made(made: Made) -> None:
    assert made.refused.code == 1
    role = "arn:aws:iam::123456789012:role/staff/team"
    assert made.refused.err.splitlines()[-1].startswith(f"access: Terraform runs as {role}, which couldn't install")
    assert f'write an entry {{ principal_arn = "{role}", policy = "AmazonEKSClusterAdminPolicy" }}' in made.refused.err


def test_the_first_step_makes_nodes_with_their_ways_out_and_a_broker_but_no_charts(made: Made) -> None:
    ways = {"aws_route.nat", "aws_route_table_association.private", "aws_vpc_endpoint.s3"}
    assert {f"module.network.{way}" for way in ways} <= made.nodes_wait_for
    assert {
        'module.network.aws_nat_gateway.this["eu-central-1a"]',
        'module.network.aws_route.nat["eu-central-1b"]',
        'module.cluster.aws_eks_node_group.this["workers"]',
        'module.cluster.aws_eks_access_policy_association.this["ops"]',
        "module.broker.aws_secretsmanager_secret_version.this",
    } <= set(made.first)
    assert [address for address in made.first if address.startswith("module.release.")] == []


def test_charts_come_after_all_of_cluster_and_broker_and_go_before_it(made: Made) -> None:
    whole = {re.sub(r"\[.*\]", "", address) for address in made.resources}
    assert {each for each in whole if re.match(r"module\.(cluster|broker)\.", each)} <= made.charts_wait_for


def test_all_of_it_is_made_and_destroy_leaves_nothing(made: Made) -> None:
    assert {
        "module.cluster.aws_eks_cluster.this",
        'module.cluster.aws_eks_addon.late["coredns"]',
        'module.cluster.aws_eks_access_entry.this["team"]',
        'module.cluster.aws_eks_pod_identity_association.identity["app/celery-worker-report"]',
        "module.broker.aws_elasticache_replication_group.this",
        "module.broker.aws_secretsmanager_secret_version.this",
    } <= set(made.resources)
    assert made.left == []


def test_a_second_plan_changes_nothing_but_what_the_emulator_falsifies(made: Made) -> None:
    told = {address: terraform.Change(does, frozenset(each)) for address, (does, each) in FALSIFIED.items()}
    assert made.changes == told


def test_what_helm_would_be_given_is_what_the_chart_takes_and_puts_pods_on_their_nodes(made: Made) -> None:
    objects = helm.render(helm.merged(made.values), release="celery", namespace="celery")
    worker, beat = (
        objects["Deployment", f"celery-{name}"]["spec"]["template"]["spec"] for name in ("worker-email", "beat")
    )
    assert worker["nodeSelector"] == {"node-group": "workers"}
    assert [item["value"] for item in worker["tolerations"]] == ["workers"]
    assert beat["nodeSelector"] == {"node-group": "system"}
    assert objects.of("StatefulSet") == {}
    secret = objects["ExternalSecret", "celery-broker"]["spec"]["data"][0]
    assert secret["remoteRef"] == {"key": made.outputs["broker"]["secret"], "property": secret["secretKey"]}
    assert worker["serviceAccountName"] == "celery-worker-email"
    assert helm.merged(made.values)["networkPolicy"]["podIdentity"] is True


def test_a_password_is_in_nothing_that_helm_is_given_and_in_the_state_at_the_one_place_that_is_said(made: Made) -> None:
    assert TOKEN not in json.dumps(made.values)
    resources = json.loads(made.state)["resources"]
    assert [item["type"] for item in resources if TOKEN in json.dumps(item)] == ["aws_elasticache_replication_group"]


def test_spot_workers_with_long_tasks_are_told_to_be_cut_short(made: Made) -> None:
    page = (terraform.ROOT / "docs" / "aws.md").read_text(encoding="utf-8")
    (told,) = re.findall(r"max-graceful-termination-sec=(\d+)", page)
    assert made.outputs["drain"]["workers"]["grace_seconds"] == int(told)
    assert made.outputs["drain"]["workers"]["cut_short"] is True
    assert made.outputs["drain"]["system"]["cut_short"] is False


def test_the_calculator_counts_what_stands(made: Made) -> None:
    counts = {item["item"]: item["count"] for item in made.cost["items"]}
    assert counts == {
        "alarm": 10,
        "broker cache.t4g.small": 2,
        "cluster": 1,
        "key": 3,
        "nat gateway": 1,
        "node m6i.large on-demand": 2,
        "secret": 1,
    }
    assert made.cost["monthly"] == round(sum(item["monthly"] for item in made.cost["items"]), 2) > 0
