"""What can't be done is refused with one sentence and the way out, before anything is made."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support import terraform
from tests.support.terraform import World

pytestmark = pytest.mark.timeout(120)

AWS = """
provider "aws" {
  region              = var.region
  allowed_account_ids = [var.expected_account_id]
}
variable "region" {
  type = string
}
variable "expected_account_id" {
  type = string
}
resource "aws_sns_topic" "this" {
  name = "made"
}
"""


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A moto that looks at credentials, as AWS does."""
    with terraform.moto(tmp_path_factory.mktemp("moto"), INITIAL_NO_AUTH_ACTION_COUNT="0") as world:
        yield world


@pytest.fixture(scope="module")
def lax(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with terraform.moto(tmp_path_factory.mktemp("lax")) as world:
        yield world


@pytest.fixture
def environments(tmp_path: Path) -> Path:
    """A folder with an environment `small`, bound to an account and a region, and without Helm's provider."""
    small = tmp_path / "environments" / "small"
    small.mkdir(parents=True)
    (small / "main.tf").write_text(AWS)
    versions = terraform.ROOT / "terraform" / "modules" / "network" / "versions.tf"
    (small / "versions.tf").write_text(versions.read_text(encoding="utf-8"))
    (small / "terraform.tfvars").write_text(
        f'expected_account_id = "{terraform.ACCOUNT}"\nregion = "{terraform.REGION}"\n'
    )
    return small.parent


def refused(
    world: World,
    environments: Path,
    verb: str = "plan",
    code: int = 1,
    arguments: Sequence[str] = (),
    sentences: int = 1,
    **env: str,
) -> str:
    """Run a verb in the environment `small` that must be refused; return what was said, line by line."""
    yes = ["--yes"] if verb != "plan" else []
    changed = World({**world.env, **env}, folder=world.folder)
    ended = changed.script(verb, "--env", "small", "--environments", str(environments), *yes, "--", *arguments)
    assert ended.code == code, ended.out + ended.err
    assert not list(environments.rglob("*.tfstate")), "something was made"
    said = [line for line in ended.err.splitlines() if not line.strip().startswith("Getting modules")]
    assert len(said) == sentences, ended.err
    return "\n".join(said)


@pytest.mark.parametrize("verb", ["plan", "apply"])
def test_credentials_of_another_account(lax: World, environments: Path, verb: str) -> None:
    of_another_account(environments)
    said = refused(lax, environments, verb)
    assert f"are of account {terraform.ACCOUNT}, which is not the expected_account_id of environment small" in said


def test_credentials_of_another_account_destroy_nothing(lax: World, environments: Path) -> None:
    where = ("--env", "small", "--environments", str(environments), "--yes")
    made = lax.script("apply", *where)
    assert made.code == 0, made.err
    of_another_account(environments)
    ended = lax.script("destroy", *where)
    assert ended.code == 1
    assert f"These credentials are of account {terraform.ACCOUNT}" in ended.err.splitlines()[-1]
    assert lax.resources(environments / "small") == ["aws_sns_topic.this"]


def of_another_account(environments: Path) -> None:
    text = f'expected_account_id = "999999999999"\nregion = "{terraform.REGION}"\n'
    (environments / "small" / "terraform.tfvars").write_text(text)


def test_the_right_account_and_region_go_through(lax: World, environments: Path) -> None:
    ended = lax.script("plan", "--env", "small", "--environments", str(environments))
    assert ended.code == 0, ended.err
    assert "1 to add" in ended.out


def test_credentials_that_aws_doesnt_know(strict: World, environments: Path) -> None:
    assert "AWS doesn't accept these credentials" in refused(strict, environments)


def test_no_credentials(lax: World, environments: Path) -> None:
    said = refused(lax, environments, AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert said.startswith("There are no AWS credentials: log in")


def test_a_profile_that_is_not_there(lax: World, environments: Path) -> None:
    said = refused(lax, environments, AWS_PROFILE="nobody")
    assert said.startswith("There are no AWS credentials: log in")


@pytest.mark.parametrize("verb", ["plan", "apply", "destroy"])
def test_another_region_around_us(lax: World, environments: Path, verb: str) -> None:
    said = refused(lax, environments, verb, code=2, AWS_REGION="us-east-1")
    assert said.startswith(f"AWS_REGION is us-east-1, and environment small is in {terraform.REGION}: unset AWS_REGION")


OTHER = "us-east-1"


@pytest.mark.parametrize(
    "way", ["-var", "-var=", "-var-file", "terraform.tfvars.json", "x.auto.tfvars", "x.auto.tfvars.json"]
)
def test_the_region_is_checked_whichever_way_it_is_given(lax: World, environments: Path, way: str) -> None:
    small, text = environments / "small", f'region = "{OTHER}"\n'
    ways = {"-var": ["-var", f"region={OTHER}"], "-var=": [f"-var=region={OTHER}"], "-var-file": [f"--{way[1:]}", "my"]}
    file = "my" if way == "-var-file" else way
    if not way.startswith("-var") or file == "my":
        (small / file).write_text(f'{{"region": "{OTHER}"}}' if file.endswith("json") else text)
    said = refused(lax, environments, code=2, arguments=ways.get(way, []), AWS_REGION=terraform.REGION)
    assert said.startswith(f"AWS_REGION is {terraform.REGION}, and environment small is in {OTHER}")


def test_the_region_of_an_option_may_be_the_one_around_us(lax: World, environments: Path) -> None:
    where = ("--env", "small", "--environments", str(environments), "--", "-var", f"region={OTHER}")
    ended = World({**lax.env, "AWS_REGION": OTHER}, folder=lax.folder).script("plan", *where)
    assert ended.code == 0, ended.err
    assert "1 to add" in ended.out


def test_an_account_that_an_option_names_is_checked(lax: World, environments: Path) -> None:
    said = refused(lax, environments, arguments=["-var", "expected_account_id=999999999999"])
    assert said.startswith(f"These credentials are of account {terraform.ACCOUNT}, which is not")


WRONG = ["-destroy", "-out=plan", "--out", "-state=x", "-json", "main.tf", "-chdir=.."]


@pytest.mark.parametrize(
    ("verb", "argument"), [*(("plan", each) for each in WRONG), ("apply", "-out=x"), ("cost", "-destroy")]
)
def test_an_option_that_parts_the_plan_from_the_checks(
    lax: World, environments: Path, verb: str, argument: str
) -> None:
    prices = ("--prices", str(terraform.ROOT / "terraform" / "prices.example.yaml")) if verb == "cost" else ()
    ended = lax.script(verb, "--env", "small", "--environments", str(environments), *prices, "--", argument)
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert ended.err.startswith(f"ARGS has {argument}, and may have -var, ")
    assert ("make tf-destroy" in ended.err) is (argument == "-destroy")


def test_an_option_without_its_value(lax: World, environments: Path) -> None:
    assert refused(lax, environments, code=2, arguments=["-var"]).startswith("ARGS ends after -var: write -var=")


@pytest.mark.parametrize("name", ["TF_CLI_ARGS", "TF_CLI_ARGS_plan", "TF_CLI_ARGS_apply"])
def test_options_behind_the_checks(lax: World, environments: Path, name: str) -> None:
    said = refused(lax, environments, code=2, **{name: "-var=region=us-east-1"})
    assert said.startswith(f"{name} is set, which would change the plan behind the checks")


def test_several_errors_are_each_said_once(lax: World, environments: Path) -> None:
    (environments / "small" / "terraform.tfvars").unlink()
    said = refused(lax, environments, sentences=2).splitlines()
    assert sorted(re.findall(r"has no (\w+): copy", "\n".join(said))) == ["expected_account_id", "region"]


def test_an_error_that_nobody_foresaw_is_told_in_terraforms_words(lax: World, environments: Path) -> None:
    wrong = "".join(f'output "{name}" {{\n  value = local.{name}\n}}\n' for name in ("first", "second"))
    (environments / "small" / "wrong.tf").write_text(wrong)
    said = refused(lax, environments, sentences=2).splitlines()
    for line, name, number in zip(said, ("first", "second"), (2, 5), strict=True):
        assert line.startswith(f"Terraform says: Reference to undeclared local value (wrong.tf line {number}): ")
        assert line.endswith(f'A local value with the name "{name}" has not been declared.')


def test_a_region_that_doesnt_exist(lax: World, environments: Path) -> None:
    (environments / "small" / "terraform.tfvars").write_text(
        f'expected_account_id = "{terraform.ACCOUNT}"\nregion = "mars-north-1"\n'
    )
    assert "There is no AWS region mars-north-1" in refused(lax, environments)


def test_a_variable_that_nobody_gave(lax: World, environments: Path) -> None:
    (environments / "small" / "terraform.tfvars").write_text(f'region = "{terraform.REGION}"\n')
    assert "Environment small has no expected_account_id: copy" in refused(lax, environments)


def test_aws_that_cant_be_reached(lax: World, environments: Path) -> None:
    said = refused(lax, environments, AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_MAX_ATTEMPTS="1")
    assert said.startswith("AWS can't be reached from here")


def test_a_cache_in_cluster_mode(lax: World, environments: Path) -> None:
    module = terraform.ROOT / "terraform" / "modules" / "broker"
    call = {"name": '"celery"', "vpc_id": '"vpc-1"', "subnet_ids": '["a", "b"]', "clients": '{ nodes = "sg-1" }'}
    given = call | {"auth_token": '"0123456789abcdef"', "num_node_groups": "3"}
    text = "\n".join(f"  {name} = {value}" for name, value in given.items())
    (environments / "small" / "broker.tf").write_text(f'module "broker" {{\n  source = "{module}"\n{text}\n}}\n')
    said = refused(lax, environments)
    assert said.startswith("num_node_groups must be 1: Celery's queues")
    assert said.endswith("take a larger node_type instead.")


def test_a_network_without_a_way_out(lax: World, environments: Path) -> None:
    module = terraform.ROOT / "terraform" / "modules" / "network"
    zones = '["eu-central-1a", "eu-central-1b"]'
    call = f'  source = "{module}"\n  name = "celery"\n  nat = "none"\n  availability_zones = {zones}\n'
    (environments / "small" / "network.tf").write_text(f'module "network" {{\n{call}}}\n')
    assert refused(lax, environments).startswith('nat = "none" leaves nodes no way to AWS but endpoints')


def test_what_a_resource_must_hold_is_told_in_its_own_sentence(lax: World, environments: Path) -> None:
    (environments / "small" / "size.tf").write_text(
        'resource "terraform_data" "size" {\n  input = 1\n  lifecycle {\n    postcondition {\n'
        '      condition     = self.input == 2\n      error_message = "size must be 2: write 2."\n    }\n  }\n}\n'
    )
    assert refused(lax, environments) == "size must be 2: write 2."


def test_a_plan_that_nobody_agreed_to(lax: World, environments: Path) -> None:
    ended = lax.script("apply", "--env", "small", "--environments", str(environments))
    assert ended.code == 2
    assert ended.err.splitlines()[-1].startswith(
        "Nothing was done: say yes to the plan, or YES=1 make tf-apply ENV=small"
    )
    assert not list(environments.rglob("*.tfstate"))


def test_what_a_failed_apply_made_is_said_to_be_removable_and_is_removed(lax: World, environments: Path) -> None:
    broken = environments / "small" / "broken.tf"
    broken.write_text(
        'resource "aws_sns_topic_subscription" "this" {\n  topic_arn = "${aws_sns_topic.this.arn}-gone"\n'
        '  protocol = "sqs"\n  endpoint = "arn:aws:sqs:eu-central-1:123456789012:queue"\n}\n'
    )
    where = ("--env", "small", "--environments", str(environments), "--yes")
    ended = lax.script("apply", *where)
    assert ended.code == 1
    assert "What was made is in the state: make tf-apply goes on from here, make tf-destroy removes" in ended.err
    place = environments / "small"
    assert lax.resources(place) == ["aws_sns_topic.this"]
    gone = lax.script("destroy", *where)
    assert gone.code == 0, gone.err
    assert lax.resources(place) == []


def test_an_environment_that_doesnt_exist(tmp_path: Path) -> None:
    ended = World(terraform.environment(), folder=tmp_path).script("plan", "--env", "gcp")
    assert (ended.code, ended.err) == (2, "There is no environment 'gcp' of Terraform: write ENV=aws or ENV=local.\n")


def test_a_mirror_without_providers(environments: Path, lax: World, tmp_path: Path) -> None:
    said = refused(lax, environments, code=2, TF_PROVIDER_MIRROR=str(tmp_path))
    assert said.startswith(f"TF_PROVIDER_MIRROR is {tmp_path}, which has no providers of hashicorp in it")


def test_a_provider_that_cant_be_had(environments: Path, lax: World, tmp_path: Path) -> None:
    (tmp_path / "mirror" / "registry.example.com" / "hashicorp").mkdir(parents=True)
    # No way out either: a proxy on which nothing listens.
    closed = "http://127.0.0.1:9"
    said = refused(
        lax, environments, TF_PROVIDER_MIRROR=str(tmp_path / "mirror"), HTTPS_PROXY=closed, https_proxy=closed
    )
    assert said.startswith("Terraform can't get its provider aws here")


def test_no_terraform_at_all(tmp_path: Path) -> None:
    ended = World({**terraform.environment(), "PATH": str(tmp_path)}, folder=tmp_path).script("test", "modules/network")
    assert ended.code == 1
    assert ended.err.startswith("There is no terraform on PATH: install 1.11 or later")
