"""The modules and environments themselves: valid, and as their own tests want them."""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.progress import step
from scripts.refused import Refused
from scripts.terraform import environment, providers
from scripts.terraform.command import Terraform
from scripts.versions import ROOT

MODULES = ("network", "cluster", "broker", "release/groups", "release")


def folders() -> list[str]:
    """Return the modules and environments by their folders in terraform/."""
    return [*(f"modules/{name}" for name in MODULES), *(f"environments/{name}" for name in environment.names())]


def validate(options: argparse.Namespace) -> int:
    """Check the modules and environments whose providers can be had; 1 when one is wrong."""
    for name in folders():
        with _copy() as copy:
            if _left_out(copy / name):
                continue
            terraform = Terraform(copy / name, name)
            with step(f"Validating {name}"):
                terraform.init()
                terraform.run("validate", quiet=True)
    return 0


def test(options: argparse.Namespace) -> int:
    """Run `terraform test` where the providers can be had, on mocks of them; 1 when one fails."""
    for name in options.folder or folders():
        with _copy() as copy:
            if name not in folders():
                raise Refused(f"There is no {name!r} with tests: write one of {', '.join(folders())}.", 2)
            if _left_out(copy / name):
                continue
            terraform = Terraform(copy / name, name)
            with step(f"Testing {name}"):
                terraform.init()
                said = terraform.run("test", "-no-color", quiet=True)
            print(f"{name}: {said.strip().splitlines()[-1]}")
    return 0


def _left_out(folder: Path) -> bool:
    """Say that a folder is left out because a provider is not on this machine, nor a way to its registry asked for."""
    text = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.tf"))
    needs_helm = "helm_release" in text or 'provider "helm"' in text
    if not needs_helm or providers.in_mirror("helm") or os.environ.get("TF_REGISTRY"):
        return False
    print(
        f"{folder.parent.name}/{folder.name} is left out, since Terraform's provider helm is not on this machine: name "
        "a folder that has it with TF_PROVIDER_MIRROR=folder, or let it be downloaded with TF_REGISTRY=1."
    )
    return True


@contextmanager
def _copy() -> Iterator[Path]:
    """Give a copy of terraform/ beside the charts, so that what Terraform writes there is gone afterwards."""
    with tempfile.TemporaryDirectory() as temporary:
        kept = shutil.ignore_patterns(".terraform*", "*.tfstate*", "*.tfvars", "backend.tf")
        shutil.copytree(ROOT / "terraform", Path(temporary) / "terraform", ignore=kept)
        (Path(temporary) / "helm").symlink_to(ROOT / "helm")
        yield Path(temporary) / "terraform"
