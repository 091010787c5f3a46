"""The modules: their own tests, format, provider versions, and a case for each of their refusals."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.terraform.modules import MODULES
from tests.conftest import ROOT
from tests.support import terraform

pytestmark = pytest.mark.timeout(280)

FOLDER = ROOT / "terraform"
WITHOUT_HELMS_PROVIDER = [name for name in MODULES if name != "release"]
# The end of a run without expect_failures is its assertions, so each of these is a sentence that must be refused.
REFUSED = re.compile(r"expect_failures = \[([^\]]*)\]")


def world(folder: Path) -> terraform.World:
    return terraform.World(terraform.environment(), folder=folder)


def test_terraform_would_format_nothing_otherwise(tmp_path: Path) -> None:
    assert world(tmp_path).does(FOLDER, "fmt", "-check", "-recursive", "-list=true") == ""


@pytest.mark.parametrize("name", WITHOUT_HELMS_PROVIDER)
def test_what_a_module_promises_is_so(name: str, tmp_path: Path) -> None:
    ended = world(tmp_path).script("test", name)
    assert ended.code == 0, ended.err
    assert re.search(rf"^modules/{name}: Success! [1-9]\d* passed, 0 failed\.$", ended.out, re.MULTILINE)


@pytest.mark.parametrize("name", MODULES)
def test_each_validation_has_a_case_that_it_refuses(name: str) -> None:
    text = (FOLDER / "modules" / name / "variables.tf").read_text(encoding="utf-8")
    blocks = re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', text, re.MULTILINE | re.DOTALL)
    validations = {variable: body.count("  validation {") for variable, body in blocks}
    tests = "".join(
        path.read_text(encoding="utf-8") for path in (FOLDER / "modules" / name / "tests").glob("*.tftest.hcl")
    )
    cases = [variable for found in REFUSED.findall(tests) for variable in re.findall(r"var\.(\w+)", found)]
    assert {variable: count for variable, count in validations.items() if cases.count(variable) < count} == {}


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
    # There to be refused.
    unused_on_purpose = {"num_node_groups"} if path.parent.name == "broker" else set()
    assert blocks
    assert [
        name for name, body in blocks if not re.search(r"^  type +=", body, re.MULTILINE) or "  description" not in body
    ] == []
    assert {name for name, _ in blocks if not re.search(rf"\bvar\.{name}\b", used)} == unused_on_purpose
