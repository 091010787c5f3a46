"""The environments of Terraform, and what must be so before one of them is touched."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from scripts.deploy import environment as deployed
from scripts.deploy import preflight
from scripts.deploy.kube import Kube
from scripts.refused import Refused
from scripts.terraform import variables
from scripts.terraform.command import Terraform
from scripts.versions import ROOT

FOLDER = ROOT / "terraform" / "environments"
# What the provider helm takes before, or besides, the cluster, the context and the identity that it is given.
REDIRECTS = (
    *("KUBE_CONFIG_PATH", "KUBE_CONFIG_PATHS", "KUBE_CTX", "KUBE_CTX_AUTH_INFO", "KUBE_CTX_CLUSTER", "KUBE_HOST"),
    *("KUBE_PASSWORD", "KUBE_PROXY_URL", "KUBE_TOKEN", "KUBE_USER"),
)


def names(folder: Path = FOLDER) -> list[str]:
    """Return the environments there are."""
    return sorted(path.parent.name for path in folder.glob("*/main.tf"))


def load(name: str, folder: Path = FOLDER) -> Path:
    """Return an environment's folder. Raises Refused for one that doesn't exist."""
    known = names(folder)
    if name not in known:
        raise Refused(f"There is no environment {name!r} of Terraform: write ENV={' or ENV='.join(known)}.", 2)
    return folder.resolve() / name


def check(terraform: Terraform, options: Sequence[str]) -> deployed.Environment | None:
    """Raise Refused when the region or the kube context around us is another than the environment's.

    An environment with a variable `region` is in that region, one with a variable `kubeconfig` installs on the cluster
    that is returned. The account is checked by the provider (allowed_account_ids), whichever way its credentials come.
    """
    for name in REDIRECTS:
        if os.environ.get(name):
            raise Refused(f"{name} is set, which the provider helm heeds and these checks don't: unset it.", 2)
    found = variables.read(terraform, ("region", "environment", "context", "kubeconfig"), options)
    _check_region(terraform.environment, found.get("region", ""))
    return _check_cluster(terraform.folder, found) if "kubeconfig" in found else None


def _check_region(environment: str, wanted: str) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        around = os.environ.get(name, "")
        if wanted and around and around != wanted:
            raise Refused(
                f"{name} is {around}, and environment {environment} is in {wanted}: unset {name}, "
                f'or write region = "{around}" if you mean another place.',
                2,
            )


def _check_cluster(folder: Path, found: dict[str, str]) -> deployed.Environment:
    name, context = found.get("environment", "kind"), found.get("context", "")
    if name not in deployed.names():
        write = " or ".join(f'environment = "{known}"' for known in deployed.names())
        raise Refused(f"environment is {name!r}, which helm/celery/environments hasn't: write {write}.", 2)
    # From here on kubectl reads what Terraform reads.
    files = (folder / Path(path).expanduser() for path in found["kubeconfig"].split(os.pathsep) if path)
    os.environ["KUBECONFIG"] = os.pathsep.join(map(str, files)) or os.devnull
    environment = deployed.load(name, context=context)
    preflight.check_context(environment, asked=bool(context))
    preflight.check_cluster(Kube(environment))
    return environment
