"""The modules: their own tests, format, provider versions, and a case for each of their refusals."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from scripts.terraform.modules import MODULES
from tests.conftest import ROOT
from tests.support import terraform

pytestmark = pytest.mark.timeout(280)

FOLDER = ROOT / "terraform"
WITHOUT_HELMS_PROVIDER = [name for name in MODULES if name != "release"]
ENVIRONMENTS = sorted(str(path.parent.relative_to(FOLDER)) for path in FOLDER.glob("environments/*/main.tf"))
# How Terraform says which rule refused a value.
RULE = re.compile(r"validation rule at ([\w.]+:\d+)")


def world(folder: Path) -> terraform.World:
    return terraform.World(terraform.environment(), folder=folder)


def test_terraform_would_format_nothing_otherwise(tmp_path: Path) -> None:
    assert world(tmp_path).does(FOLDER, "fmt", "-check", "-recursive", "-list=true") == ""


@pytest.mark.parametrize("name", WITHOUT_HELMS_PROVIDER)
def test_what_a_module_promises_is_so(name: str, tmp_path: Path) -> None:
    ended = world(tmp_path).script("test", f"modules/{name}")
    assert ended.code == 0, ended.err
    assert re.search(rf"^modules/{name}: Success! [1-9]\d* passed, 0 failed\.$", ended.out, re.MULTILINE)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_what_an_environment_promises_is_so_without_helms_provider(name: str, tmp_path: Path) -> None:
    copy = terraform.copy(tmp_path)
    terraform.cut_helms_provider(copy)
    world(tmp_path).does(copy / name, "init", "-input=false")
    said = world(tmp_path).does(copy / name, "test", "-no-color")
    assert re.search(r"^Success! [1-9]\d* passed, 0 failed\.$", said, re.MULTILINE)


@pytest.mark.parametrize("name", [*(f"modules/{name}" for name in MODULES), *ENVIRONMENTS])
def test_each_validation_refuses_a_case_and_each_case_is_refused_by_one(name: str, tmp_path: Path) -> None:
    there = {
        f"{path.name}:{number}"
        for path in (FOLDER / name).glob("*.tf")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if line.strip() == "validation {"
    }
    folder = terraform.copy(tmp_path) / name
    terraform.keep_only_refusals(folder)
    world(tmp_path).does(folder, "init", "-input=false")
    refused = {path.name.split(".")[0]: list[str]() for path in (folder / "tests").glob("*.hcl")}
    for line in world(tmp_path).terraform(folder, "test", "-json").out.splitlines():
        said = json.loads(line)
        if said["type"] == "diagnostic":
            refused[said["@testrun"]] += RULE.findall(said["diagnostic"]["detail"]) or [said["diagnostic"]["summary"]]
    assert {case: rules for case, rules in refused.items() if len(rules) != 1} == {}
    assert {rule for rules in refused.values() for rule in rules} == there


def test_every_module_wants_the_same_provider_of_aws() -> None:
    found = {
        version
        for path in FOLDER.rglob("versions.tf")
        for version in re.findall(r'"hashicorp/aws"\s+version = "([^"]+)"', path.read_text(encoding="utf-8"))
    }
    assert found == {"~> 5.100.0"}


@pytest.mark.parametrize(
    "path", sorted(FOLDER.rglob("variables.tf")), ids=lambda path: str(path.parent.relative_to(FOLDER))
)
def test_each_variable_has_a_type_and_a_description_and_is_used(path: Path) -> None:
    blocks = re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    used = "".join(other.read_text(encoding="utf-8") for other in path.parent.glob("*.tf") if other != path)
    # There for what is refused.
    unused_on_purpose = {"broker": {"num_node_groups"}, "cluster": {"installer_arn"}}.get(path.parent.name, set())
    assert blocks
    assert [
        name for name, body in blocks if not re.search(r"^  type +=", body, re.MULTILINE) or "  description" not in body
    ] == []
    assert {name for name, _ in blocks if not re.search(rf"\bvar\.{name}\b", used)} == unused_on_purpose
