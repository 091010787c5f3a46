"""What decides on replicas: the HPA as Kubernetes computes it, and KEDA, which alone goes from and to zero."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

SYNC_SECONDS = 15.0
TOLERANCE = 0.1


@dataclass(frozen=True)
class Limit:
    """One policy of a behavior: at most `value` pods, or per cent of them, in `period` seconds."""

    type: Literal["Pods", "Percent"]
    value: int
    period: float


@dataclass(frozen=True)
class Behavior:
    """`behavior` of an HPA: windows in seconds, and limits of which the most generous counts."""

    up_window: float = 0.0
    up: tuple[Limit, ...] = (Limit("Percent", 100, 15), Limit("Pods", 4, 15))
    down_window: float = 300.0
    down: tuple[Limit, ...] = (Limit("Percent", 100, 15),)


@dataclass(frozen=True)
class KedaSettings:
    """`pollingInterval` and `cooldownPeriod` in seconds, and whether the HPA sees only what the last poll saw."""

    polling: float = 30.0
    cooldown: float = 300.0
    cached_metrics: bool = False


@dataclass
class Hpa:
    """The controller's state for one workload: what it wanted lately, and what it changed lately."""

    target: float
    min_replicas: int
    max_replicas: int
    behavior: Behavior = field(default_factory=Behavior)
    wanted: list[tuple[float, int]] = field(default_factory=list)
    changes: list[tuple[float, int]] = field(default_factory=list)

    def sync(self, now: float, metric: float, replicas: int) -> int:
        """Return the replicas that follow from the sum of the metric at this second."""
        if replicas == 0:
            return 0
        desired = self._stabilized(now, self._proposal(metric, replicas), replicas)
        desired = min(self.max_replicas, max(self.min_replicas, self._limited(now, desired, replicas)))
        if desired != replicas:
            self.changes.append((now, desired - replicas))
        return desired

    def _proposal(self, metric: float, replicas: int) -> int:
        """AverageValue: the sum divided by the target, unless that is within the tolerance of what is there."""
        if 1.0 - TOLERANCE <= metric / (self.target * replicas) <= 1.0 + TOLERANCE:
            return replicas
        # A sum of floats that is 8.000000001 for 8 must not cost a pod; the API has thousandths.
        return math.ceil(round(metric / self.target, 6))

    def _stabilized(self, now: float, proposal: int, replicas: int) -> int:
        """Go up only as far as every, down only as far as any proposal of the window went."""
        self.wanted.append((now, proposal))
        oldest = now - max(self.behavior.up_window, self.behavior.down_window)
        self.wanted = [(at, value) for at, value in self.wanted if at > oldest or at == now]
        lowest = min(self._within(now, self.behavior.up_window), default=proposal)
        highest = max(self._within(now, self.behavior.down_window), default=proposal)
        return min(max(replicas, lowest), highest)

    def _within(self, now: float, window: float) -> list[int]:
        return [value for at, value in self.wanted if at > now - window]

    def _limited(self, now: float, desired: int, replicas: int) -> int:
        """Change no more than the limits allow, counted from what was there when each period began."""
        if desired > replicas:
            most = max(self._reach(now, limit, replicas, +1) for limit in self.behavior.up)
            return min(desired, max(most, replicas))
        if desired < replicas:
            least = min(self._reach(now, limit, replicas, -1) for limit in self.behavior.down)
            return max(desired, min(least, replicas))
        return desired

    def _reach(self, now: float, limit: Limit, replicas: int, sign: int) -> int:
        base = replicas - sum(change for at, change in self.changes if at > now - limit.period)
        if limit.type == "Pods":
            return base + sign * limit.value
        share = base * (100 + sign * limit.value) / 100
        return math.ceil(share) if sign > 0 else math.floor(share)


@dataclass
class Keda:
    """The operator's loop for one ScaledObject."""

    settings: KedaSettings
    min_replicas: int
    last_active: float = 0.0

    def poll(self, now: float, metric: float, replicas: int) -> int:
        """Return the replicas after a look at the metric: only the steps from and to zero are KEDA's."""
        if metric > 0:
            self.last_active = now
            return max(1, self.min_replicas) if replicas == 0 else replicas
        quiet = now - self.last_active > self.settings.cooldown
        return 0 if self.min_replicas == 0 and quiet else replicas


def limits(text: str) -> tuple[Limit, ...]:
    """Return limits from text such as `100%/15,4/15`: per cent or pods, and the period in seconds."""
    return tuple(_limit(part) for part in text.split(","))


def _limit(text: str) -> Limit:
    amount, period = text.split("/")
    return Limit("Percent" if amount.endswith("%") else "Pods", int(amount.rstrip("%")), float(period))


def text_of(parts: Sequence[Limit]) -> str:
    """Return what `limits` reads."""
    return ",".join(f"{part.value}{'%' if part.type == 'Percent' else ''}/{part.period:g}" for part in parts)
