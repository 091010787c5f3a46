"""The policies: which number KEDA and the HPA see, what they aim at, and what happens to a pod that is taken away."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from .controllers import Behavior, KedaSettings, limits


@dataclass
class Load:
    """What can be known of a group now; `rate` in tasks a second, `service` in seconds or None: not measured yet."""

    waiting: int
    running: int
    slots: int
    rate: float = 0.0
    service: float | None = None


@dataclass(frozen=True)
class Policy:
    """One way to scale. `grace` None: a pod drains as long as its tasks take.

    A run that is killed comes back `redelivery` seconds after its start (a visibility timeout) or, when `leased`, after
    the kill.
    """

    name: str
    metric: Callable[[Load, Policy], float]
    # Work per pod that the HPA aims at; None: the slots times the utilisation.
    target: float | None = None
    utilisation: float = 1.0
    wait_target: float = 5.0
    behavior: Behavior = field(default_factory=Behavior)
    keda: KedaSettings = field(default_factory=KedaSettings)
    removal: Literal["newest-first", "idle-first"] = "newest-first"
    grace: float | None = 30.0
    redelivery: float = 3600.0
    leased: bool = False

    def per_pod(self, slots: int) -> float:
        """Return the HPA's target for pods of so many slots."""
        return slots * self.utilisation if self.target is None else self.target


def list_length(load: Load, _: Policy) -> float:
    """What KEDA's redis trigger sees: tasks that run are not in the list."""
    return float(load.waiting)


def airflow(load: Load, _: Policy) -> float:
    """What Airflow's query returns: whole pods."""
    return float(math.ceil((load.waiting + load.running) / load.slots))


def counting(load: Load, _: Policy) -> float:
    """What waits and what runs."""
    return float(load.waiting + load.running)


def latency(load: Load, policy: Policy) -> float:
    """The slots that keep up with what arrives and start what waits within `wait_target`; never more than the work."""
    work = counting(load, policy)
    if load.service is None:
        return work
    slots = load.rate * load.service + load.waiting * load.service / policy.wait_target
    # As the exporter says it: work needs one slot, however rare it is.
    return max(min(1.0, work), min(work, slots))


# What the sweep chose; README.md says why.
OURS = Policy(
    "counting",
    counting,
    behavior=Behavior(up=limits("100%/15,20/15"), down_window=30),
    keda=KedaSettings(polling=5, cooldown=60),
    removal="idle-first",
    grace=None,
    redelivery=60,
    leased=True,
)

POLICIES = {
    policy.name: policy
    for policy in (
        Policy("list-length", list_length, target=5),
        # The defaults of Airflow's chart for KEDA's two periods and for the grace.
        Policy("airflow", airflow, target=1, keda=KedaSettings(5, 30), grace=600, redelivery=86_400),
        OURS,
        replace(OURS, name="latency", metric=latency),
        # Counting as this chart shipped it before it was simulated.
        replace(
            OURS,
            name="counting-slow",
            behavior=Behavior(down=limits("1/60")),
            keda=KedaSettings(polling=5),
            removal="newest-first",
        ),
    )
}
