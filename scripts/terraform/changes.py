"""Plan, apply and destroy: the plan that is applied is the one that was checked and seen."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from scripts.progress import step
from scripts.refused import Refused
from scripts.terraform import arguments, environment, releases, variables
from scripts.terraform.command import Terraform


def plan(options: argparse.Namespace) -> int:
    """Show what would change."""
    terraform, given = _ready(options)
    terraform.run("plan", "-input=false", *given)
    return 0


def apply(options: argparse.Namespace) -> int:
    """Make what the environment says, after a look at the plan."""
    return _change(options, "apply")


def destroy(options: argparse.Namespace) -> int:
    """Take away all that apply made, after a look at the plan."""
    return _change(options, "destroy", "-destroy")


def planned(options: argparse.Namespace) -> Any:
    """Return what `terraform show -json` says of a plan. Raises Refused."""
    terraform, given = _ready(options)
    with tempfile.TemporaryDirectory() as temporary:
        file = str(Path(temporary) / "plan")
        terraform.run("plan", "-input=false", f"-out={file}", *given, quiet=True)
        return json.loads(terraform.run("show", "-json", file, quiet=True))


def _ready(options: argparse.Namespace) -> tuple[Terraform, list[str]]:
    """Return an environment whose checks passed, with modules and providers, and the options of its plans."""
    given = arguments.checked(options.terraform)
    terraform = Terraform(environment.load(options.env, options.environments), options.env)
    if options.context:
        if "context" not in variables.declared(terraform.folder):
            raise Refused(f"Environment {options.env} takes no CONTEXT, since it knows its cluster: leave it out.", 2)
        given.append(f"-var=context={options.context}")
    terraform.cluster = environment.check(terraform, given)
    with step(f"Getting modules and providers of {options.env}"):
        terraform.init()
    return terraform, given


def _change(options: argparse.Namespace, verb: str, *ways: str) -> int:
    terraform, given = _ready(options)
    with tempfile.TemporaryDirectory() as temporary:
        file = str(Path(temporary) / "plan")
        held = releases.held(terraform.run("state", "pull", quiet=True))
        terraform.run("plan", "-input=false", *ways, f"-out={file}", *given)
        if held:
            releases.refuse_lost(held, terraform.run("show", "-json", file, quiet=True), options.env, verb, given)
        if not options.yes and not _agreed(verb):
            raise Refused(
                f"Nothing was done: say yes to the plan, or YES=1 make tf-{verb} ENV={options.env} "
                "where nobody is asked.",
                2,
            )
        try:
            terraform.run("apply", "-input=false", file)
        except Refused as refused:
            rest = f"make tf-{verb} goes on from here" + (
                ", make tf-destroy removes what is there." if verb == "apply" else "."
            )
            raise Refused(f"{refused}\nWhat was made is in the state: {rest}", refused.code, refused.details) from None
    return 0


def _agreed(verb: str) -> bool:
    if not sys.stdin.isatty():
        return False
    print(f"Shall Terraform {verb} this? Only yes is yes: ", end="", flush=True)
    return sys.stdin.readline().strip() == "yes"
