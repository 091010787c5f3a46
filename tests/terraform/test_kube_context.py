"""ENV=local: the cluster that is checked is the one that Terraform changes, or nothing is done."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from scripts.cluster import cache
from tests.support import terraform
from tests.support.cli import Ended
from tests.support.terraform import World

pytestmark = pytest.mark.timeout(120)

# Nothing listens there; kubectl's refusal names the port that it tried, so it says which file was read.
CONFIG = """
apiVersion: v1
kind: Config
current-context: {current}
contexts:
- {{name: kind-celery, context: {{cluster: here, user: me}}}}
- {{name: shop, context: {{cluster: here, user: me}}}}
clusters: [{{name: here, cluster: {{server: "https://127.0.0.1:{port}"}}}}]
users: [{{name: me, user: {{token: none}}}}]
"""
IMAGE = '{ repository = "registry.example.com/shop" }'


@pytest.fixture
def environments(tmp_path: Path) -> Path:
    """The environments of this project, where a test may write files of its own."""
    return terraform.copy(tmp_path) / "environments"


@pytest.fixture
def right(tmp_path: Path) -> Path:
    """A file whose current context is kind's, and whose cluster is nowhere."""
    path = tmp_path / "right"
    path.write_text(CONFIG.format(current="kind-celery", port=9))
    return path


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A file whose current context is another cluster."""
    path = tmp_path / "other"
    path.write_text(CONFIG.format(current="shop", port=10))
    return path


def run(environments: Path, *arguments: str, verb: str = "plan", context: str = "", **env: str) -> Ended:
    world = World({**terraform.environment(), "KUBECONFIG": os.devnull, **env}, folder=environments.parent)
    named = ("--context", context) if context else ()
    ended = world.script(verb, "--env", "local", "--environments", str(environments), *named, "--", *arguments)
    assert ended.code
    assert ended.err.count("\n") == 1, ended.err
    return ended


ANOTHER = "The current context is shop, and environment kind belongs to kind-celery"


@pytest.mark.parametrize("verb", ["plan", "apply", "destroy"])
def test_another_kube_context(environments: Path, other: Path, verb: str) -> None:
    ended = run(environments, verb=verb, KUBECONFIG=str(other))
    assert ended.code == 2
    assert ended.err.startswith(ANOTHER)


FILES = ("terraform.tfvars", "x.auto.tfvars", "terraform.tfvars.json", "x.auto.tfvars.json")


@pytest.mark.parametrize("way", [*FILES, "TF_VAR_", "-var", "-var-file"])
def test_the_file_that_terraform_is_told_is_the_one_that_is_checked(
    environments: Path, right: Path, other: Path, way: str
) -> None:
    place, arguments, env = environments / "local", (), {}
    text = json.dumps({"kubeconfig": str(other)}) if way.endswith("json") else f'kubeconfig = "{other}"\n'
    if way == "-var":
        arguments = ("-var", f"kubeconfig={other}")
    elif way == "-var-file":
        (place / "mine.tfvars").write_text(text)
        arguments = ("-var-file", "mine.tfvars")
    elif way == "TF_VAR_":
        env = {"TF_VAR_kubeconfig": str(other)}
    else:
        (place / way).write_text(text)
    ended = run(environments, *arguments, KUBECONFIG=str(right), **env)
    assert ended.code == 2
    assert ended.err.startswith(ANOTHER)


def test_kubectls_file_is_terraforms_where_nobody_said_otherwise(environments: Path, right: Path) -> None:
    ended = run(environments, KUBECONFIG=str(right))
    assert ended.code == 1
    assert ended.err.startswith("The cluster of context kind-celery doesn't answer")
    assert "127.0.0.1:9" in ended.err


def test_a_relative_path_of_kubectls_is_seen_from_where_it_was_given(environments: Path, right: Path) -> None:
    assert "127.0.0.1:9" in run(environments, KUBECONFIG=os.path.relpath(right, terraform.ROOT)).err


def test_several_files_are_read_as_kubectl_reads_them(environments: Path, right: Path, other: Path) -> None:
    together = os.pathsep.join(["", str(other.parent / "none"), str(right), str(other)])
    assert "127.0.0.1:9" in run(environments, KUBECONFIG=together).err
    turned = os.pathsep.join([str(other), str(right)])
    assert run(environments, KUBECONFIG=turned).err.startswith(ANOTHER)


def test_a_home_and_a_path_seen_from_the_environment(environments: Path, right: Path) -> None:
    home = environments.parent
    (home / "config").write_bytes(right.read_bytes())
    # The tools that were built stay where they are.
    tools = str(cache.root().parent)
    for path in ("~/config", "../../config"):
        ended = run(environments, f"-var=kubeconfig={path}", HOME=str(home), XDG_CACHE_HOME=tools)
        assert "127.0.0.1:9" in ended.err


def test_no_kube_context(environments: Path) -> None:
    ended = run(environments)
    assert ended.code == 2
    assert "belongs to context kind-celery, which isn't there: make cluster-up makes it" in ended.err


def test_an_environment_without_a_context_of_its_own_is_asked_for_one(environments: Path, right: Path) -> None:
    ended = run(environments, "-var", "environment=production", KUBECONFIG=str(right))
    assert ended.code == 2
    assert ended.err.startswith("Environment production is bound to no cluster: write CONTEXT=name")


def test_a_context_that_was_named_wins(environments: Path, right: Path) -> None:
    production = ("-var", "environment=production")
    for ended in (
        run(environments, *production, context="shop", KUBECONFIG=str(right)),
        run(environments, *production, "-var=context=shop", KUBECONFIG=str(right)),
        run(environments, *production, KUBECONFIG=str(right), TF_VAR_context="shop"),
    ):
        assert ended.err.startswith("The cluster of context shop doesn't answer")
    ended = run(environments, *production, context="nowhere", KUBECONFIG=str(right))
    assert ended.err.startswith("Environment production belongs to context nowhere, which isn't there")


def test_an_environment_of_the_charts_that_doesnt_exist(environments: Path, right: Path) -> None:
    ended = run(environments, "-var", "environment=staging", KUBECONFIG=str(right))
    assert ended.code == 2
    assert 'write environment = "kind" or environment = "production"' in ended.err


@pytest.mark.parametrize("name", ["KUBE_CONFIG_PATHS", "KUBE_HOST", "KUBE_CTX_CLUSTER"])
def test_what_helms_provider_would_put_before_the_context_is_refused(
    environments: Path, right: Path, name: str
) -> None:
    ended = run(environments, KUBECONFIG=str(right), **{name: "other"})
    assert ended.code == 2
    assert ended.err.startswith(f"{name} is set, ")


def test_what_helms_provider_would_put_before_the_identity_of_aws_is_refused(environments: Path) -> None:
    world = World({**terraform.environment(), "KUBE_TOKEN": "another"}, folder=environments.parent)
    ended = world.script("plan", "--env", "aws")
    assert (ended.code, ended.err.splitlines()[-1][:18]) == (2, "KUBE_TOKEN is set,")


def test_a_context_for_an_environment_that_makes_its_own_cluster(environments: Path) -> None:
    world = World(terraform.environment(), folder=environments.parent)
    ended = world.script("plan", "--env", "aws", "--context", "shop")
    assert ended.code == 2
    assert ended.err.startswith("Environment aws takes no CONTEXT")


@pytest.fixture
def cut(environments: Path) -> tuple[World, Path]:
    """ENV=local without what only Helm's provider understands."""
    terraform.cut_helms_provider(environments.parent)
    world = World(terraform.environment(), folder=environments.parent)
    with (environments / "local" / "outputs.tf").open("a") as file:
        file.write('output "kubeconfigs" {\n  value = local.kubeconfigs\n}\n')
    world.does(environments / "local", "init", "-input=false")
    return world, environments / "local"


def test_terraform_itself_never_takes_the_current_context(cut: tuple[World, Path]) -> None:
    world, place = cut
    planned = world.terraform(place, "plan", "-input=false", f"-var=image={IMAGE}", "-var=environment=production")
    assert planned.code == 1
    assert "Environment production is bound to no cluster" in planned.err
    assert outputs(cut, "-var=environment=production", "-var=context=shop")["context"]["value"] == "shop"


def outputs(cut: tuple[World, Path], *given: str) -> Any:
    world, place = cut
    world.does(place, "apply", "-input=false", "-auto-approve", f"-var=image={IMAGE}", *given)
    return json.loads(world.does(place, "output", "-json"))


def test_helms_provider_is_given_each_file(cut: tuple[World, Path]) -> None:
    assert outputs(cut, "-var=kubeconfig=:/one:~/two:")["kubeconfigs"]["value"] == ["/one", str(Path.home() / "two")]
    text = (terraform.ROOT / "terraform" / "environments" / "local" / "main.tf").read_text(encoding="utf-8")
    assert re.search(r"^ +config_paths += local.kubeconfigs$", text, re.MULTILINE)


@pytest.mark.parametrize("nothing", ["", ":"])
def test_terraform_itself_wants_a_file(cut: tuple[World, Path], nothing: str) -> None:
    world, place = cut
    planned = world.terraform(place, "plan", "-input=false", f"-var=image={IMAGE}", f"-var=kubeconfig={nothing}")
    assert planned.code == 1
    assert "kubeconfig must name a file" in planned.err
