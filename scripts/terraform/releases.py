"""Releases of Helm that Terraform's state is about to lose.

Helm's provider takes a release that it can't look at for gone (hashicorp/terraform-provider-helm#1669): while the
cluster doesn't answer, or doesn't let us in, a plan makes it anew, or forgets to take it away.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from scripts.refused import Refused


def held(state: str) -> set[str]:
    """Return the addresses of the releases in `state`, what `terraform state pull` says; nothing without a state."""
    resources = json.loads(state or "{}").get("resources", ())
    return {_name(each) for each in resources if each["type"] == "helm_release" and each.get("instances")}


def refuse_lost(held: set[str], plan: str, environment: str, verb: str, options: Sequence[str]) -> None:
    """Raise Refused when `plan`, what `terraform show -json` says, overlooks one of the releases that are `held`.

    With -target a destroy may leave one out.
    """
    planned: dict[str, list[str]] = {}
    for each in json.loads(plan).get("resource_changes", ()):
        if each["type"] == "helm_release":
            planned[_name(each)] = each["change"]["actions"]
    if verb == "destroy" and not any(option.startswith("-target=") for option in options):
        lost = {name for name in held if "delete" not in planned.get(name, [])}
    else:
        lost = {name for name in held if planned.get(name) == ["create"]}
    if lost:
        raise Refused(
            f"Nothing was done: the plan takes {', '.join(sorted(lost))} for gone, which the state of environment "
            f"{environment} has, since Helm's provider couldn't look at the cluster: run this from where its API "
            f"server can be reached, as somebody who is in its access (first make tf-apply ENV={environment} "
            "ARGS=-target=module.cluster where that is what changes). One that is really gone: terraform state rm it."
        )


def _name(resource: dict[str, Any]) -> str:
    """Return a resource's address without its index."""
    module = str(resource.get("module") or resource.get("module_address") or "")
    return ".".join(part for part in (module, str(resource["type"]), str(resource["name"])) if part)
