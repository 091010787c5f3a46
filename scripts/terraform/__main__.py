"""`make tf-plan`, `tf-apply`, `tf-destroy`, `tf-validate`, `tf-cost` and a part of `tf-test`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from scripts.refused import exit_with
from scripts.terraform import changes, cost, environment
from scripts.terraform.modules import folders, test, validate


def price(options: argparse.Namespace) -> int:
    """Reckon a month's cost from counts (of a plan, or your own) and from prices of yours; a calculator, no promise."""
    prices = cost.prices(options.prices)
    if options.counts:
        counts = cost.counts(options.counts)
    else:
        counts = cost.counts_of_plan(cost.plan(options.plan) if options.plan else changes.planned(options))
    bill = cost.reckon(counts, prices)
    print(json.dumps(bill.as_json()) if options.json else bill.table())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.terraform", description=__doc__, epilog="Exit codes: 0 done, 1 failed, 2 bad input."
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    functions = {"plan": changes.plan, "apply": changes.apply, "destroy": changes.destroy, "cost": price}
    for name, function in functions.items():
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
        verb.add_argument("--context", default="", help="the kube context, for an environment with that variable")
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
    testing.add_argument("folder", nargs="*", help=f"{', '.join(folders())}; without one all of them")
    return parser


def main() -> int:
    options = _parser().parse_args()
    return int(options.function(options))


if __name__ == "__main__":
    exit_with(main)
