"""Terraform against what plays AWS: copies of terraform/, the emulators, and what a plan says."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.ports import free_port
from scripts.terraform import providers
from scripts.terraform.packages import programs
from tests.conftest import ROOT
from tests.support.cli import Ended
from tests.support.stack import until

REGION = "eu-central-1"
ACCOUNT = "123456789012"
# Seconds for an apply of all there is, on a machine that does other things too.
PATIENCE = 280
SESSION = """
import boto3, sys
name, path = sys.argv[1:]
role = boto3.client("iam", "us-east-1").create_role(RoleName=name, Path=path, AssumeRolePolicyDocument="{}")
session = boto3.client("sts", "us-east-1").assume_role(RoleArn=role["Role"]["Arn"], RoleSessionName="somebody")
print(*(session["Credentials"][key] for key in ("AccessKeyId", "SecretAccessKey", "SessionToken")))
"""
HELM_RESOURCE = re.compile(r'^resource "helm_release".*?^}\n', re.MULTILINE | re.DOTALL)
HELM_PROVIDER = re.compile(r'^(?:#[^\n]*\n)*provider "helm".*?^}\n', re.MULTILINE | re.DOTALL)


def copy(folder: Path) -> Path:
    """Copy terraform/ into `folder`, with the charts beside it, and return the copy."""
    shutil.copytree(
        ROOT / "terraform", folder / "terraform", ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*", "*.tfvars")
    )
    (folder / "helm").symlink_to(ROOT / "helm")
    return folder / "terraform"


# Stands where helm_release stood, and so waits for the same.
IN_ITS_PLACE = 'resource "terraform_data" "celery" {}\n'
ENDS = ("before", "after")
# What Terraform takes for each other in what a provider says.
NOTHING: tuple[Any, ...] = ("", [], {}, None)


def cut_helms_provider(terraform: Path) -> None:
    """Take out of a copy what only Helm's provider understands; what it would be given becomes an output, `values`."""
    release = terraform / "modules" / "release"
    main = release / "main.tf"
    told = "".join(f'output "{name}" {{\n  value = local.{name}\n}}\n' for name in ("values", "monitoring_values"))
    main.write_text(HELM_RESOURCE.sub("", main.read_text()) + told + IN_ITS_PLACE)
    versions = release / "versions.tf"
    versions.write_text(re.sub(r"  required_providers \{.*?\n  \}\n", "", versions.read_text(), flags=re.DOTALL))
    outputs = release / "outputs.tf"
    text = re.sub(r"helm_release\.celery\.(\w+)", r"var.\1", outputs.read_text())
    outputs.write_text(text.replace("one(helm_release.monitoring[*].namespace)", "null"))
    for path in terraform.glob("environments/*/*.tf"):
        path.write_text(HELM_PROVIDER.sub("", path.read_text()))
    for path in terraform.rglob("*.tftest.hcl"):
        path.write_text(path.read_text().replace('mock_provider "helm" {}\n', ""))
    for name in ("local", "aws"):
        with (terraform / "environments" / name / "outputs.tf").open("a") as file:
            file.write('output "values" {\n  value = module.release.values\n}\n')
    left = [
        str(path) for path in terraform.rglob("*.tf") if re.search(r'helm_release|provider "helm"', path.read_text())
    ]
    assert left == [], f"this test no longer cuts all of Helm's provider out of {left}"


def keep_only_refusals(folder: Path) -> None:
    """Leave of a copied module its variables, and a file of each run that one of them refuses, expected no more.

    The locals that variables look at stay, too. So `terraform test` tells what refused it, needs no provider, and goes
    on after it.
    """
    for path in folder.glob("*.tf"):
        if path.name not in ("variables.tf", "locals.tf"):
            path.unlink()
    for path in (folder / "tests").glob("*.tftest.hcl"):
        text = path.read_text()
        path.unlink()
        given = "".join(re.findall(r"^variables \{\n.*?^\}\n", text, re.MULTILINE | re.DOTALL))
        for name, run in re.findall(r'^(?=run "(\w+)")(.*?^\}\n)', text, re.MULTILINE | re.DOTALL):
            case, found = re.subn(r"  expect_failures = \[var\.\w+\]\n", "", run)
            if found:
                (folder / "tests" / f"{name}.tftest.hcl").write_text(given + case)


@dataclass(frozen=True)
class Change:
    """What a plan would do to a resource, and to which of its attributes."""

    actions: tuple[str, ...]
    attributes: frozenset[str]


def _change(told: Mapping[str, Any]) -> Change:
    """Return a change out of what `terraform show -json` calls one.

    An attribute that is not known yet may change; of what is made anew only those count that are a cause of it, since
    all that AWS tells of it is not known.
    """
    before, after = ({key: value for key, value in (told[at] or {}).items() if value not in NOTHING} for at in ENDS)
    untold = {name for name, value in (told["after_unknown"] or {}).items() if value is True}
    otherwise = {name for name in {*before, *after} - untold if before.get(name) != after.get(name)}
    causes = {path[0] for path in told.get("replace_paths", ())} if "create" in told["actions"] else untold
    return Change(tuple(told["actions"]), frozenset(otherwise | causes))


@dataclass
class World:
    """Where Terraform runs: what its environment says, and what comes before its command (a network namespace)."""

    env: Mapping[str, str]
    enter: Sequence[str] = ()
    folder: Path = field(kw_only=True)

    def terraform(self, place: Path, *arguments: str) -> Ended:
        """Run Terraform itself in a folder."""
        variables = {**self.env, **providers.environment(self.folder), "CHECKPOINT_DISABLE": "1"}
        return self.run(["terraform", *arguments], place, variables)

    def script(self, *arguments: str) -> Ended:
        """Run scripts.terraform, as make does."""
        return self.run([sys.executable, "-m", "scripts.terraform", *arguments], ROOT, self.env)

    def run(self, command: Sequence[str], place: Path, env: Mapping[str, str]) -> Ended:
        done = subprocess.run(
            [*self.enter, *command],
            cwd=place,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        return Ended(done.returncode, done.stdout, done.stderr, 0)

    def does(self, place: Path, *arguments: str) -> str:
        """Run Terraform in a folder and return what it printed; it must succeed."""
        ended = self.terraform(place, *arguments)
        assert ended.code == 0, ended.out[-2000:] + ended.err
        return ended.out

    def changes(self, place: Path) -> dict[str, Change]:
        """Return what a plan would do to each resource that it would touch, by address."""
        plan = self.folder / "second.tfplan"
        self.does(place, "plan", "-input=false", f"-out={plan}")
        shown = json.loads(self.does(place, "show", "-json", str(plan)))
        each = {told["address"]: _change(told["change"]) for told in shown.get("resource_changes", [])}
        return {address: change for address, change in each.items() if change.actions not in (("no-op",), ("read",))}

    def resources(self, place: Path) -> list[str]:
        """Return the addresses of what the state holds, without data."""
        return [line for line in self.does(place, "state", "list").splitlines() if "data." not in line]

    def waits_for(self, place: Path, module: str, kind: str) -> set[str]:
        """Return what a resource of the state was made after, and is taken away before: addresses without keys."""
        state = json.loads(self.does(place, "state", "pull"))
        found = [each for each in state["resources"] if (each.get("module", ""), each["type"]) == (module, kind)]
        return {
            address for each in found for instance in each["instances"] for address in instance.get("dependencies", ())
        }

    def role(self, name: str, path: str) -> World:
        """Return this world as a session of a new role of that path sees it."""
        done = self.run([str(programs("terraform") / "python"), "-c", SESSION, name, path], ROOT, self.env)
        assert done.code == 0, done.err
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        return World({**self.env, **dict(zip(names, done.out.split(), strict=True))}, self.enter, folder=self.folder)


def environment(endpoint: str = "", **more: str) -> dict[str, str]:
    """Return this process's environment without anything of AWS, with credentials that only an emulator takes."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_VAR_"))}
    ours = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_EC2_METADATA_DISABLED": "true"}
    # Nobody's own profiles: a missing file is an empty one.
    ours |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return {**clean, **ours, **({"AWS_ENDPOINT_URL": endpoint} if endpoint else {}), **more}


@contextmanager
def _running(command: Sequence[str], folder: Path, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program with its output in a file of `folder`, and end it and what it started at the end."""
    with (folder / f"{Path(command[0]).name}.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**environment(), "TMPDIR": str(folder), **env},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def moto(folder: Path, **env: str) -> Iterator[World]:
    """Run moto's server on a free port of the loopback; yields a world that has its services."""
    port = free_port()
    command = [str(programs("terraform") / "moto_server"), "--host", "127.0.0.1", "--port", str(port)]
    with _running(command, folder, MOTO_IAM_LOAD_MANAGED_POLICIES="true", **env):
        world = World(environment(f"http://127.0.0.1:{port}"), folder=folder)
        until(lambda: _answers(world, port), 60, "moto answers")
        yield world


# What ministack tells wrongly of services that moto tells rightly of.
MOTO_HAS = ("CLOUDWATCH", "CLOUDWATCH_LOGS", "IAM", "KMS", "SNS", "SECRETS_MANAGER")


@contextmanager
def two_emulators(folder: Path) -> Iterator[World]:
    """Run ministack, and moto for some services, in a network namespace of their own: ministack binds every address."""
    rootless = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    own = ["unshare", "--net", *rootless, "sh", "-c", 'ip link set lo up && exec "$0" "$@"']
    known = {"GATEWAY_PORT": "4566", "MINISTACK_ACCOUNT_ID": ACCOUNT, "MINISTACK_REGION": REGION}
    with _running([*own, str(programs("terraform") / "ministack")], folder, **known) as first:
        enter = [
            "nsenter",
            "--target",
            str(first.pid),
            "--net",
            *(["--user", "--preserve-credentials"] if rootless else []),
        ]
        second = [str(programs("terraform") / "moto_server"), "--host", "127.0.0.1", "--port", "5000"]
        env = environment(
            "http://127.0.0.1:4566", **{f"AWS_ENDPOINT_URL_{name}": "http://127.0.0.1:5000" for name in MOTO_HAS}
        )
        world = World(env, enter, folder=folder)
        until(lambda: _answers(world, 4566), 60, "ministack answers")
        with _running([*enter, *second], folder, MOTO_IAM_LOAD_MANAGED_POLICIES="true"):
            until(lambda: _answers(world, 5000), 60, "moto answers")
            yield world


def _answers(world: World, port: int) -> bool:
    knock = f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)"
    return world.run([sys.executable, "-c", knock], ROOT, dict(os.environ)).code == 0


def values(world: World, place: Path, output: str = "values") -> list[dict[str, Any]]:
    """Return what Helm would be given by a copy from which its provider was cut, file by file.

    `output`: `values` for celery, `monitoring_values` for monitoring.
    """
    import yaml

    shown = json.loads(world.does(place, "output", "-json"))
    return [yaml.safe_load(text) or {} for text in shown[output]["value"]]
