"""The environments of Terraform, and what must be so before one of them is touched."""

from __future__ import annotations

import os
import re
from pathlib import Path

from scripts.deploy import environment as deployed
from scripts.deploy import preflight
from scripts.deploy.kube import Kube
from scripts.refused import Refused
from scripts.versions import ROOT

FOLDER = ROOT / "terraform" / "environments"


def names(folder: Path = FOLDER) -> list[str]:
    """Return the environments there are."""
    return sorted(path.parent.name for path in folder.glob("*/main.tf"))


def load(name: str, folder: Path = FOLDER) -> Path:
    """Return an environment's folder. Raises Refused for one that doesn't exist."""
    known = names(folder)
    if name not in known:
        raise Refused(f"There is no environment {name!r} of Terraform: write ENV={' or ENV='.join(known)}.", 2)
    return folder / name


def given(folder: Path, variable: str) -> str:
    """Return the text that files or the environment give a variable, or nothing."""
    files = [*sorted(folder.glob("*.auto.tfvars"), reverse=True), folder / "terraform.tfvars"]
    for text in (path.read_text(encoding="utf-8") for path in files if path.is_file()):
        found = re.search(rf'^\s*{variable}\s*=\s*"([^"]*)"', text, re.MULTILINE)
        if found:
            return found[1]
    return os.environ.get(f"TF_VAR_{variable}", "")


def check(folder: Path) -> None:
    """Raise Refused when the region or the kube context around us is another than the environment's.

    The account is checked by the provider (allowed_account_ids), whichever way its credentials come.
    """
    if (folder / "main.tf").read_text(encoding="utf-8").find('provider "aws"') >= 0:
        _check_region(folder)
    else:
        environment = deployed.load(given(folder, "environment") or "kind")
        preflight.check_context(environment, asked=False)
        preflight.check_cluster(Kube(environment))


def _check_region(folder: Path) -> None:
    wanted = given(folder, "region")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        around = os.environ.get(name, "")
        if wanted and around and around != wanted:
            raise Refused(
                f"{name} is {around}, and environment {folder.name} is in {wanted}: unset {name}, "
                f'or write region = "{around}" if you mean another place.',
                2,
            )
