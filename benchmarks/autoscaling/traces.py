"""The loads: when tasks arrive, how long each one takes, and the workload that they arrive at."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple


class Task(NamedTuple):
    """One task: the second at which it arrives, and the seconds of one run of it."""

    arrival: float
    service: float


@dataclass(frozen=True)
class Workload:
    """A worker group: slots of a pod, seconds from a pod's creation to its first task, bounds of the replicas."""

    slots: int = 4
    pod_start: float = 8.0
    min_replicas: int = 1
    max_replicas: int = 30


@dataclass(frozen=True)
class Trace:
    """A load and its workload. Cost is counted from 0 to `seconds`; `surge` is when a burst needs `surge_pods`."""

    name: str
    seconds: float
    tasks: tuple[Task, ...]
    workload: Workload = Workload()
    surge: float | None = None
    surge_pods: int = 0

    def oracle_pod_seconds(self) -> float:
        """Return the price of who knows all: each task runs as it arrives, and pods start and stop in no time."""
        return _step_area(self.need(), self.seconds)

    def need(self) -> list[tuple[float, int]]:
        """Return the pods that the oracle has, as steps of (second, pods)."""
        changes = [(task.arrival, 1) for task in self.tasks]
        changes += [(task.arrival + task.service, -1) for task in self.tasks]
        steps, running = [(0.0, self.workload.min_replicas)], 0
        for at, change in sorted(changes):
            running += change
            pods = max(self.workload.min_replicas, math.ceil(running / self.workload.slots))
            if pods != steps[-1][1]:
                steps.append((at, pods))
        return steps


def _step_area(steps: list[tuple[float, int]], until: float) -> float:
    ends = [at for at, _ in steps[1:]] + [until]
    return sum((min(end, until) - at) * height for (at, height), end in zip(steps, ends, strict=True) if at < until)


def _arrivals(rng: random.Random, rate: Callable[[float], float], peak: float, seconds: float) -> Iterator[float]:
    """Yield a Poisson process whose rate per second changes and never exceeds `peak`."""
    at = rng.expovariate(peak)
    while at < seconds:
        if rng.random() * peak < rate(at):
            yield at
        at += rng.expovariate(peak)


def _about(rng: random.Random, mean: float) -> float:
    """Return a service time of this mean, spread as most tasks are: a few take twice as long."""
    spread = 0.5
    return rng.lognormvariate(math.log(mean) - spread**2 / 2, spread)


def _two_bursts(second: float) -> float:
    return 30.0 if 300 <= second < 600 else 60.0 if 1200 <= second < 1300 else 1.0


def burst(rng: random.Random) -> Trace:
    """One task a second; 30 times that for five minutes, later 60 times that for 100 s. A task takes about 1 s."""
    tasks = tuple(Task(at, _about(rng, 1.0)) for at in _arrivals(rng, _two_bursts, 60.0, 2400))
    return Trace("burst", 2400, tasks, surge=1200, surge_pods=15)


def diurnal(rng: random.Random) -> Trace:
    """A day in an hour: from 0.5 tasks a second to 15 and back. A task takes about 2 s."""
    return _day(rng, "diurnal", 3600)


def day(rng: random.Random) -> Trace:
    """The same in 24 hours: load changes slowly against every window, and only noise is left to react to."""
    return _day(rng, "day", 86_400)


def _day(rng: random.Random, name: str, length: float) -> Trace:
    tasks = _arrivals(rng, lambda second: 0.5 + 7.25 * (1 - math.cos(2 * math.pi * second / length)), 15.0, length)
    return Trace(name, length, tuple(Task(at, _about(rng, 2.0)) for at in tasks))


def spike(rng: random.Random) -> Trace:
    """Two tasks a second of about 1 s, and three times 400 at once."""
    arrivals = list(_arrivals(rng, lambda _: 2.0, 2.0, 2400))
    arrivals += [start + rng.random() * 2 for start in (300, 900, 1500) for _ in range(400)]
    return Trace("spike", 2400, tuple(Task(at, _about(rng, 1.0)) for at in sorted(arrivals)))


def idle(rng: random.Random) -> Trace:
    """Three hours without work but for about 20 tasks of 2 s every 12 minutes; the group scales to zero."""
    arrivals, start = [], rng.expovariate(1 / 720)
    while start < 10_800 - 600:
        arrivals += [start + rng.random() * 5 for _ in range(1 + int(rng.expovariate(1 / 20)))]
        start += rng.expovariate(1 / 720)
    tasks = tuple(Task(at, _about(rng, 2.0)) for at in sorted(arrivals))
    return Trace("idle", 10_800, tasks, Workload(min_replicas=0))


def heavy_tailed(rng: random.Random) -> Trace:
    """Waves of 15 minutes; most tasks take 2 to 5 s, one in some hundred minutes, none more than 20 minutes."""
    arrivals = _arrivals(rng, lambda second: 2.1 - 1.9 * math.cos(2 * math.pi * second / 900), 4.0, 3600)
    tasks = tuple(Task(at, min(1200.0, 2 * rng.paretovariate(1.3))) for at in arrivals)
    return Trace("heavy-tailed", 5400, tasks)


def slow_start(rng: random.Random) -> Trace:
    """The bursts again, with pods that take a minute to start: a large image, a node that must come first."""
    calm = burst(rng)
    return Trace("slow-start", calm.seconds, calm.tasks, Workload(pod_start=60.0), calm.surge, calm.surge_pods)


MAKERS = {
    "burst": burst,
    "diurnal": diurnal,
    "spike": spike,
    "idle": idle,
    "heavy-tailed": heavy_tailed,
    "slow-start": slow_start,
    "day": day,
}
# A day has 700,000 tasks: only when asked for.
USUAL = tuple(name for name in MAKERS if name != "day")


def make(name: str, seed: int) -> Trace:
    """Return a trace by name; the same seed gives the same tasks."""
    return MAKERS[name](random.Random(f"{name}:{seed}"))
