"""The simulator's own policy is the chart's default: its numbers would speak of something else otherwise."""

from __future__ import annotations

from benchmarks.autoscaling.controllers import Behavior, KedaSettings, Limit
from benchmarks.autoscaling.policies import OURS
from tests.support.helm import DEFAULTS

CHOSEN = DEFAULTS["workers"]["defaults"]["autoscaling"]


def limits(rules: dict[str, object]) -> tuple[Limit, ...]:
    return tuple(Limit(rule["type"], rule["value"], rule["periodSeconds"]) for rule in rules["policies"])  # type: ignore


def test_the_simulated_policy_is_the_chart_s() -> None:
    up, down = CHOSEN["behavior"]["scaleUp"], CHOSEN["behavior"]["scaleDown"]
    windows = up["stabilizationWindowSeconds"], down["stabilizationWindowSeconds"]
    assert OURS.behavior == Behavior(windows[0], limits(up), windows[1], limits(down))
    assert OURS.keda == KedaSettings(CHOSEN["pollingSeconds"], CHOSEN["cooldownSeconds"])
    assert OURS.utilisation * 100 == CHOSEN["targetUtilisationPercent"]
    assert OURS.wait_target == CHOSEN["targetWaitSeconds"]
