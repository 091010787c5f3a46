"""What the checks take a variable for is what Terraform plans with, whichever way it was given."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from scripts.refused import Refused
from scripts.terraform import environment, variables
from scripts.terraform.command import Terraform
from scripts.terraform.environment import FOLDER
from tests.support import terraform

pytestmark = pytest.mark.timeout(120)

MAIN = """
variable "region" {
  type    = string
  default = "default"
  validation {
    condition     = var.region != "" && fileexists("beside.txt")
    error_message = "region: the folder's own files are beside it."
  }
}
variable "nodes" { type = list(string) }
variable "token" {
  type      = string
  sensitive = true
}
output "region" {
  value = var.region
}
"""
TFVARS, JSON = "terraform.tfvars", "terraform.tfvars.json"
# name: files of the environment, the environment variable's value, arguments, and what it comes to.
WAYS: dict[str, tuple[dict[str, str], str, list[str], str]] = {
    "a default": ({}, "", [], "default"),
    "the environment": ({}, "env", [], "env"),
    "a file wins over the environment": ({TFVARS: "tfvars"}, "env", [], "tfvars"),
    "JSON wins over a file": ({TFVARS: "tfvars", JSON: "json"}, "", [], "json"),
    "an auto file wins over both": ({TFVARS: "tfvars", JSON: "json", "a.auto.tfvars": "auto"}, "", [], "auto"),
    "auto JSON alone": ({"a.auto.tfvars.json": "auto-json"}, "", [], "auto-json"),
    "the last auto file wins": ({"a.auto.tfvars.json": "first", "b.auto.tfvars": "last"}, "", [], "last"),
    "an option wins over files": ({"a.auto.tfvars": "auto"}, "", ["-var=region=option"], "option"),
    "a file of an option": ({"mine.tfvars": "mine", TFVARS: "tfvars"}, "", ["-var-file=mine.tfvars"], "mine"),
    "an option's JSON": ({"mine.json": "mine"}, "", ["-var-file=mine.json"], "mine"),
    "the last option wins": (
        {"mine.tfvars": "mine"},
        "",
        ["-var=region=option", "-var-file=mine.tfvars"],
        "mine",
    ),
    "the last option wins, the other way round": (
        {"mine.tfvars": "mine"},
        "",
        ["-var-file=mine.tfvars", "-var=region=a \"quoted\" = 'one'"],
        "a \"quoted\" = 'one'",
    ),
    "a file that says more than is known": ({TFVARS: 'more"\nelse = "x'}, "", [], "more"),
    "options that say more": ({}, "", ["-var=region=option", "-target=output.region", "-refresh=false"], "option"),
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "environments" / "small"
    folder.mkdir(parents=True)
    (folder / "main.tf").write_text(MAIN)
    (folder / "beside.txt").touch()
    for name, value in {"nodes": '["a"]', "token": "secret"}.items():
        monkeypatch.setenv(f"TF_VAR_{name}", value)
    return folder


def write(place: Path, files: dict[str, str]) -> None:
    for name, value in files.items():
        text = json.dumps({"region": value}) if name.endswith("json") else f'region = "{value}"\n'
        (place / name).write_text(text)


@pytest.mark.parametrize("way", WAYS)
def test_the_checks_read_what_terraform_plans_with(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    files, env, arguments, expected = WAYS[way]
    write(place, files)
    if env:
        monkeypatch.setenv("TF_VAR_region", env)
    assert variables.read(Terraform(place, "small"), ["region", "nobody"], arguments) == {"region": expected}
    assert planned(place, tmp_path, arguments)["region"]["value"] == expected


def planned(place: Path, folder: Path, arguments: list[str]) -> Any:
    world = terraform.World(terraform.environment(**given()), folder=folder)
    plan = folder / "plan"
    world.does(place, "plan", "-input=false", f"-out={plan}", *arguments)
    return json.loads(world.does(place, "show", "-json", str(plan)))["variables"]


def given() -> dict[str, str]:
    """Return what a test gave by TF_VAR_, which the tests' environment leaves out else."""
    return {name: value for name, value in os.environ.items() if name.startswith("TF_VAR_")}


def test_reading_needs_no_value_of_another_variable_and_leaves_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("nodes", "token"):
        monkeypatch.delenv(f"TF_VAR_{name}")
    before = sorted(place.iterdir())
    assert variables.read(Terraform(place, "small"), ["region", "token"], []) == {"region": "default", "token": ""}
    assert sorted(place.iterdir()) == before


def test_a_sensitive_one_is_read_too(place: Path) -> None:
    assert variables.read(Terraform(place, "small"), ["token"], []) == {"token": "secret"}


def test_it_is_read_whatever_backend_and_workspace_the_environment_has(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "backend.tf").write_text('terraform {\n  backend "local" {\n    path = "elsewhere/state"\n  }\n}\n')
    monkeypatch.setenv("TF_DATA_DIR", str(tmp_path / "data"))
    terraform.World(terraform.environment(), folder=tmp_path).does(place, "init", "-input=false")
    monkeypatch.setenv("TF_WORKSPACE", "second")
    assert variables.read(Terraform(place, "small"), ["region"], []) == {"region": "default"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("more.tf", "variable name {\n}\n"),
        ("more.tf", 'variable "name"\n{\n}\n'),
        ("more.tf", '  variable "name" {\n  }\n'),
        ("more.tf.json", "{}"),
        ("override.tf", 'variable "region" {\n  default = "another"\n}\n'),
    ],
)
def test_a_variable_that_would_be_overlooked_is_refused(place: Path, name: str, text: str) -> None:
    (place / name).write_text(text)
    with pytest.raises(Refused, match="can't be checked: write each once"):
        variables.declared(place)


@pytest.mark.parametrize("environment", environment.names())
def test_the_variables_that_are_checked_are_there(environment: str) -> None:
    known = set(variables.declared(FOLDER / environment))
    assert {"aws": {"region"}, "local": {"environment", "context", "kubeconfig"}}[environment] <= known
