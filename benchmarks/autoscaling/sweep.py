"""The settings of ours side by side: which of them cost less without longer waits, as the Pareto front."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from .controllers import Behavior, limits, text_of
from .policies import POLICIES, Policy
from .report import BASE, Row, against, rows

# The two traces that the promise about cost names, and the two that punish a scale-down that is too quick.
NAMES = ("burst", "diurnal", "spike", "heavy-tailed")
DOWN_WINDOWS = (0, 30, 45, 60, 120, 300)
DOWN = ("1/60", "50%/15", "100%/15")
UP = ("100%/15,4/15", "100%/15,20/15", "100/15")
UTILISATIONS = (1.0, 0.85, 0.7)
WAIT_TARGETS = (2.0, 5.0, 10.0)


@dataclass(frozen=True)
class Point:
    """One setting: medians over the seeds, `cost` and `p95` as the means over the traces."""

    policy: str
    setting: str
    # Pod-seconds as a share of the plain policy's, and the seconds that 95 % of the tasks did not wait longer than.
    cost: float
    p95: float
    burst_cost: float
    diurnal_cost: float
    burst_over_oracle: float
    diurnal_over_oracle: float
    burst_p95: float
    diurnal_p95: float
    surge: float
    diurnal_started: float
    front: bool = False


def settings(name: str) -> list[Policy]:
    """Return every variant of a policy of ours that the sweep compares."""
    targets = WAIT_TARGETS if name == "latency" else (POLICIES[name].wait_target,)
    grid = itertools.product(DOWN_WINDOWS, DOWN, UP, UTILISATIONS, targets)
    return [
        replace(
            POLICIES[name],
            behavior=Behavior(up=limits(up), down_window=window, down=limits(down)),
            utilisation=utilisation,
            wait_target=target,
        )
        for window, down, up, utilisation, target in grid
    ]


def describe(policy: Policy) -> str:
    """Return the setting in words."""
    behavior = policy.behavior
    wait = f"wait {policy.wait_target:g} s, " if policy.name == "latency" else ""
    return (
        f"{policy.utilisation:.0%}, {wait}window {behavior.down_window:g} s, "
        f"down {text_of(behavior.down)}, up {text_of(behavior.up)}"
    )


def point(policy: Policy, mine: Sequence[Row], base: Sequence[Row]) -> Point:
    """Return what the runs of one setting say against the plain policy's."""

    def median(trace: str, column: str) -> float:
        return float(statistics.median(getattr(each, column) for each in mine if each.trace == trace))

    costs = {name: statistics.median(against(mine, base, name, "cost")) for name in NAMES}
    return Point(
        policy.name,
        describe(policy),
        cost=statistics.mean(costs.values()),
        p95=statistics.mean(median(name, "p95") for name in NAMES),
        burst_cost=costs["burst"],
        diurnal_cost=costs["diurnal"],
        burst_over_oracle=median("burst", "over_oracle"),
        diurnal_over_oracle=median("diurnal", "over_oracle"),
        burst_p95=median("burst", "p95"),
        diurnal_p95=median("diurnal", "p95"),
        surge=statistics.median(against(mine, base, "burst", "surge")),
        diurnal_started=statistics.median(against(mine, base, "diurnal", "started")),
    )


def with_front(points: Iterable[Point]) -> list[Point]:
    """Return the points in order of cost, those marked that no other of their policy beats in cost and wait at once."""
    best: dict[str, float] = {}
    done = []
    for each in sorted(points, key=lambda one: (one.cost, one.p95)):
        front = each.p95 < best.get(each.policy, float("inf"))
        best[each.policy] = min(each.p95, best.get(each.policy, float("inf")))
        done.append(replace(each, front=front))
    return done


def sweep(names: Sequence[str], seeds: int) -> list[Point]:
    """Return a point for each setting of the named policies."""
    policies = [policy for name in names for policy in settings(name)]
    base, *done = rows([POLICIES[BASE], *policies], NAMES, seeds)
    return with_front(point(policy, mine, base) for policy, mine in zip(policies, done, strict=True))


COLUMNS = {
    "cost": "cost / plain",
    "p95": "p95 s",
    "burst_cost": "burst: cost / plain",
    "burst_over_oracle": "cost / oracle",
    "burst_p95": "p95 s",
    "surge": "surge / plain",
    "diurnal_cost": "diurnal: cost / plain",
    "diurnal_over_oracle": "cost / oracle",
    "diurnal_p95": "p95 s",
    "diurnal_started": "pods started / plain",
}


def markdown(points: Iterable[Point]) -> str:
    """Return the front as a table."""
    lines = [f"| policy | setting | {' | '.join(COLUMNS.values())} |", f"| --- | --- |{' --- |' * len(COLUMNS)}"]
    for one in points:
        if one.front:
            numbers = (getattr(one, column) for column in COLUMNS)
            lines.append(f"| {one.policy} | {one.setting} | {' | '.join(f'{number:.2f}' for number in numbers)} |")
    return "\n".join(lines)
