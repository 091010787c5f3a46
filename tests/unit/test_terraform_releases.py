"""A plan that takes a release for gone because the cluster was not to be seen is not carried out."""

from __future__ import annotations

import json

import pytest

from scripts.refused import Refused
from scripts.terraform import releases

HELD = {"module": "module.release", "type": "helm_release", "name": "celery", "instances": [{}]}
TOPIC = {"type": "aws_sns_topic", "name": "alarms", "instances": [{}]}
STATE = json.dumps({"resources": [HELD, TOPIC]})


def plan(*actions: str) -> str:
    release = {"module_address": "module.release", "type": "helm_release", "name": "celery"}
    changes = [{"type": "aws_sns_topic", "name": "alarms", "change": {"actions": ["create"]}}]
    return json.dumps(
        {"resource_changes": [*changes, *([{**release, "change": {"actions": list(actions)}}] if actions else [])]}
    )


def look(state: str, planned: str, verb: str, *options: str) -> None:
    releases.refuse_lost(releases.held(state), planned, "aws", verb, options)


@pytest.mark.parametrize(("verb", "actions"), [("apply", ["create"]), ("destroy", []), ("destroy", ["no-op"])])
def test_a_release_that_the_plan_overlooks_is_named(verb: str, actions: list[str]) -> None:
    with pytest.raises(Refused, match=r"takes module\.release\.helm_release\.celery for gone"):
        look(STATE, plan(*actions), verb)


@pytest.mark.parametrize(
    ("state", "verb", "actions", "options"),
    [
        (STATE, "apply", ["no-op"], []),
        (STATE, "apply", ["update"], []),
        (STATE, "apply", ["delete", "create"], []),
        (STATE, "apply", [], ["-target=module.cluster"]),
        (STATE, "destroy", ["delete"], []),
        (STATE, "destroy", [], ["-target=module.network"]),
        ("", "apply", ["create"], []),
        ("", "destroy", [], []),
        (json.dumps({"resources": [TOPIC]}), "apply", ["create"], []),
    ],
)
def test_any_other_plan_goes_through(state: str, verb: str, actions: list[str], options: list[str]) -> None:
    look(state, plan(*actions), verb, *options)
