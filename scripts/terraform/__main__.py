"""`make tf-plan`, `tf-apply`, `tf-destroy`, `tf-validate`, `tf-cost` and a part of `tf-test`."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.progress import step
from scripts.refused import Refused, exit_with
from scripts.terraform import cost, environment, providers
from scripts.terraform.command import Terraform
from scripts.versions import ROOT

MODULES = ("network", "cluster", "broker", "release/groups", "release")


def plan(options: argparse.Namespace) -> int:
    """Show what would change."""
    terraform = _ready(options)
    terraform.run("plan", "-input=false", *options.terraform)
    return 0


def apply(options: argparse.Namespace) -> int:
    """Make what the environment says, after a look at the plan."""
    return _change(options, "apply")


def destroy(options: argparse.Namespace) -> int:
    """Take away all that apply made, after a look at the plan."""
    return _change(options, "destroy")


def _change(options: argparse.Namespace, verb: str) -> int:
    terraform = _ready(options)
    with tempfile.TemporaryDirectory() as temporary:
        file = f"-out={Path(temporary) / 'plan'}"
        ways = ["-destroy"] if verb == "destroy" else []
        terraform.run("plan", "-input=false", *ways, file, *options.terraform)
        if not options.yes and not _agreed(verb):
            raise Refused(
                f"Nothing was done: say yes to the plan, or YES=1 make tf-{verb} ENV={options.env} "
                "where nobody is asked.",
                2,
            )
        try:
            terraform.run("apply", "-input=false", file.removeprefix("-out="))
        except Refused as refused:
            rest = f"make tf-{verb} goes on from here" + (
                ", make tf-destroy removes what is there." if verb == "apply" else "."
            )
            raise Refused(f"{refused} What was made is in the state: {rest}", refused.code, refused.details) from None
    return 0


def _agreed(verb: str) -> bool:
    if not sys.stdin.isatty():
        return False
    print(f"Shall Terraform {verb} this? Only yes is yes: ", end="", flush=True)
    return sys.stdin.readline().strip() == "yes"


def validate(options: argparse.Namespace) -> int:
    """Check the modules and environments whose providers can be had; 1 when one is wrong."""
    for name in [
        *(f"modules/{module}" for module in MODULES),
        *(f"environments/{name}" for name in environment.names()),
    ]:
        with _copy() as copy:
            if _left_out(copy / name):
                continue
            terraform = Terraform(copy / name, name)
            with step(f"Validating {name}"):
                terraform.init()
                terraform.run("validate", quiet=True)
    return 0


def test(options: argparse.Namespace) -> int:
    """Run `terraform test` for the modules whose providers can be had, on mocks of the providers; 1 when one fails."""
    for name in options.module or MODULES:
        with _copy() as copy:
            folder = copy / "modules" / name
            if not folder.is_dir():
                raise Refused(f"There is no module {name!r}: write one of {', '.join(MODULES)}.", 2)
            if _left_out(folder):
                continue
            terraform = Terraform(folder, f"modules/{name}")
            with step(f"Testing modules/{name}"):
                terraform.init()
                said = terraform.run("test", "-no-color", quiet=True)
            print(f"modules/{name}: {said.strip().splitlines()[-1]}")
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


def _ready(options: argparse.Namespace) -> Terraform:
    folder = environment.load(options.env, options.environments)
    environment.check(folder)
    terraform = Terraform(folder, options.env)
    with step(f"Getting modules and providers of {options.env}"):
        terraform.init()
    return terraform


def price(options: argparse.Namespace) -> int:
    """Reckon a month's cost from counts (of a plan, or your own) and from prices of yours; a calculator, no promise."""
    prices = cost.prices(options.prices)
    counts = cost.counts(options.counts) if options.counts else cost.counts_of_plan(_planned(options))
    bill = cost.reckon(counts, prices)
    print(json.dumps(bill.as_json()) if options.json else bill.table())
    return 0


def _planned(options: argparse.Namespace) -> object:
    if options.plan:
        return cost.plan(options.plan)
    terraform = _ready(options)
    with tempfile.TemporaryDirectory() as temporary:
        file = str(Path(temporary) / "plan")
        terraform.run("plan", "-input=false", f"-out={file}", *options.terraform, quiet=True)
        return json.loads(terraform.run("show", "-json", file, quiet=True))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.terraform", description=__doc__, epilog="Exit codes: 0 done, 1 failed, 2 bad input."
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name, function in {"plan": plan, "apply": apply, "destroy": destroy, "cost": price}.items():
        verb = verbs.add_parser(name, help=function.__doc__, description=function.__doc__)
        verb.set_defaults(function=function)
        verb.add_argument(
            "--env",
            default="aws" if name == "cost" else None,
            required=name != "cost",
            help=", ".join(environment.names()),
        )
        verb.add_argument(
            "--environments", type=Path, default=environment.FOLDER, help="a folder with environments of your own"
        )
        verb.add_argument(
            "terraform", nargs="*", help="put -- before it: further options of terraform plan, such as -var"
        )
        if name in ("apply", "destroy"):
            verb.add_argument("--yes", action="store_true", help="don't ask")
        if name == "cost":
            verb.add_argument(
                "--prices", required=True, type=Path, help="YAML: currency, and prices by the hour or month"
            )
            verb.add_argument("--counts", type=Path, help="YAML: how many of each, instead of a plan")
            verb.add_argument("--plan", type=Path, help="what terraform show -json said of a plan")
            verb.add_argument("--json", action="store_true", help="print one JSON object")
    verbs.add_parser("validate", help=validate.__doc__).set_defaults(function=validate)
    testing = verbs.add_parser("test", help=test.__doc__)
    testing.set_defaults(function=test)
    testing.add_argument("module", nargs="*", help=f"{', '.join(MODULES)}; without one all of them")
    return parser


def main() -> int:
    options = _parser().parse_args()
    return int(options.function(options))


if __name__ == "__main__":
    exit_with(main)
