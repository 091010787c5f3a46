"""The module release and the environments, with only what Helm's provider alone understands cut out of a copy."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.support import helm, terraform

pytestmark = pytest.mark.timeout(120)

IMAGE = {"repository": "registry.example.com/shop", "tag": "1.0"}
EXTERNAL = {"host": "broker.example.com", "port": 6380, "username": "shop", "existing_secret": "celery-broker"}
CASES: dict[str, dict[str, Any]] = {
    "nothing-more": {},
    "external": {"broker": EXTERNAL},
    "external-secrets": {
        "broker": {**EXTERNAL, "secret_store": "aws", "secret_key": "celery/broker"},
        "values": [
            json.dumps({"extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}}]})
        ],
    },
    "node-groups": {"node_groups": {"system": "system", "workers": "workers"}},
    "pod-identity": {"pod_identity": True},
    "monitoring": {"monitoring": True, "grafana_secret": "login"},
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = terraform.copy(tmp_path_factory.mktemp("release"))
    terraform.cut_helms_provider(made)
    return made


@pytest.fixture(scope="module")
def world(copy: Path) -> terraform.World:
    world = terraform.World(terraform.environment(), folder=copy.parent)
    world.does(copy / "modules" / "release", "init", "-input=false")
    return world


def told(world: terraform.World, copy: Path, environment: str, **variables: Any) -> list[dict[str, Any]]:
    """Return the values that the module hands to Helm, file by file."""
    place = copy / "modules" / "release"
    given = {"charts": str(ROOT / "helm"), "environment": environment, "image": IMAGE, **variables}
    (place / "here.auto.tfvars.json").write_text(json.dumps(given))
    world.does(place, "apply", "-input=false", "-auto-approve")
    found = terraform.values(world, place)
    (place / "here.auto.tfvars.json").unlink()
    return found


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("environment", ["kind", "production"])
def test_every_value_that_is_set_exists_in_the_chart_and_helm_renders_it(
    world: terraform.World, copy: Path, environment: str, case: str
) -> None:
    values = told(world, copy, environment, **CASES[case])
    rendered = helm.render(helm.merged(values), release="celery", namespace="celery")
    assert rendered.groups == {"default", "email", "report", "high", "orders"}
    if case == "external-secrets":
        assert {("ConfigMap", "mine"), ("ExternalSecret", "celery-broker")} <= set(rendered)
    known = {path for path, _ in helm.leaves(helm.DEFAULTS)}
    ours = [path for layer in values[1:] for path, _ in helm.leaves(layer) if path]
    # A map that the chart leaves open is a leaf there.
    assert [path for path in ours if not any(path[: len(each)] == each for each in known)] == []


@pytest.mark.parametrize("environment", ["kind", "production"])
def test_monitoring_is_told_of_the_release_beside_it_and_reads_its_pages(
    world: terraform.World, copy: Path, environment: str
) -> None:
    celery = helm.render(
        helm.merged(told(world, copy, environment, name="shop", **CASES["monitoring"])), release="shop"
    )
    values = helm.merged(terraform.values(world, copy / "modules" / "release", "monitoring_values"))
    beside = helm.render(values, chart=helm.MONITORING, release="monitoring")
    mounted = beside.pods["monitoring-prometheus"]["spec"]["volumes"]
    (rules,) = (volume["projected"]["sources"] for volume in mounted if volume["name"] == "rules")
    assert [source["configMap"]["name"] for source in rules] == ["shop-celery-rules"]
    assert ("ConfigMap", "shop-celery-rules") in celery
    peers = celery["NetworkPolicy", "shop-celery-exporter"]["spec"]["ingress"][0]["from"]
    labels = beside["StatefulSet", "monitoring-prometheus"]["spec"]["template"]["metadata"]["labels"]
    chosen = [peer["podSelector"]["matchLabels"] for peer in peers if "podSelector" in peer]
    assert any(labels.items() >= each.items() for each in chosen)
    login = [volume for volume in beside.pods["monitoring-grafana"]["spec"]["volumes"] if volume["name"] == "login"]
    assert login == [{"name": "login", "secret": {"secretName": "login"}}]


@pytest.mark.parametrize("environment", ["kind", "production"])
def test_a_role_opens_the_way_to_its_agent_beside_any_that_the_user_writes_and_changes_no_other_policy(
    world: terraform.World, copy: Path, environment: str
) -> None:
    for mine in ({}, {"networkPolicy": {"egress": [{"to": [{"ipBlock": {"cidr": "192.168.0.0/16"}}]}]}}):
        without, with_role = (
            helm.render(helm.merged(told(world, copy, environment, pod_identity=on, values=[json.dumps(mine)])))
            for on in (False, True)
        )
        for name, policy in with_role.of("NetworkPolicy").items():
            before, after = without["NetworkPolicy", name]["spec"].get("egress", []), policy["spec"].get("egress", [])
            assert after[: len(before)] == before, name
            agents = [peer["ipBlock"]["cidr"] for rule in after[len(before) :] for peer in rule["to"]]
            opened = name.removeprefix(f"{helm.PREFIX}-") in ("worker", "api")
            assert agents == (["169.254.170.23/32", "fd00:ec2::23/128"] if opened else []), name


def test_helm_waits_for_the_roles_of_the_accounts(world: terraform.World, copy: Path) -> None:
    """A pod that is made before its account has a role gets none."""
    place = copy / "environments" / "aws"
    world.does(place, "init", "-input=false", "-backend=false")
    graph = world.does(place, "graph", "-type=plan")
    name, role = "module.cluster.output.name", "module.cluster.aws_eks_pod_identity_association.identity"
    assert f'"[root] {name} (expand)" -> "[root] {role} (expand)"' in graph
    # The cluster's name is in the command that lets Helm in, which was cut out of the copy.
    original = (ROOT / "terraform" / "environments" / "aws" / "release.tf").read_text(encoding="utf-8")
    assert '"--cluster-name", module.cluster.name' in original.partition('module "release"')[0]


def test_its_own_tests_hold(world: terraform.World, copy: Path) -> None:
    said = world.does(copy / "modules" / "release", "test", "-no-color")
    assert re.search(r"^Success! [1-9]\d* passed, 0 failed\.$", said, re.MULTILINE)


@pytest.mark.parametrize("environment", ["kind", "production"])
def test_how_long_workers_take_to_end_is_what_the_chart_says(
    world: terraform.World, copy: Path, tmp_path: Path, environment: str
) -> None:
    mine = {"workers": {"groups": {"report": {"timeLimitSeconds": 700}, "email": {"softShutdownSeconds": 40}}}}
    theirs = (ROOT / "helm" / "celery" / "environments" / f"{environment}.yaml").read_text(encoding="utf-8")
    place = terraform.copy(tmp_path) / "modules" / "release" / "groups"
    given = {"chart": str(ROOT / "helm" / "celery"), "release": "celery", "values": [theirs, json.dumps(mine)]}
    (place / "here.auto.tfvars.json").write_text(json.dumps(given))
    world.does(place, "init", "-input=false")
    world.does(place, "apply", "-input=false", "-auto-approve")
    outputs = json.loads(world.does(place, "output", "-json"))
    values = helm.merged([helm.values_of(environment), mine])
    rendered = helm.render(values, release="celery", namespace="celery")
    deployments = rendered.of("Deployment").values()
    graces = {
        thing["metadata"]["labels"]["worker-group"]: thing["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        for thing in deployments
        if "worker-group" in thing["metadata"]["labels"]
    }
    assert outputs["grace_seconds"]["value"] == graces
    assert outputs["longest_grace_seconds"]["value"] == max(graces.values()) == 730
    assert set(outputs["service_accounts"]["value"]) == set(rendered.of("ServiceAccount")) - {
        "celery-secret",
        "celery-exporter",
    }


def test_the_environment_local_is_wired_and_takes_the_context_of_the_charts_environment(
    world: terraform.World, copy: Path
) -> None:
    place = copy / "environments" / "local"
    world.does(place, "init", "-input=false")
    world.does(place, "validate")
    (place / "terraform.tfvars.json").write_text(json.dumps({"image": IMAGE}))
    world.does(place, "apply", "-input=false", "-auto-approve")
    outputs = json.loads(world.does(place, "output", "-json"))
    assert outputs["context"]["value"] == "kind-celery"
    text = (ROOT / "terraform" / "environments" / "local" / "main.tf").read_text(encoding="utf-8")
    assert "config_context = local.context\n" in text
