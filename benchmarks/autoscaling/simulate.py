"""One run: a trace, a policy and the phases of the controllers' clocks give waits, cost and a timeline."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .cluster import Clock, Cluster
from .controllers import SYNC_SECONDS, Hpa, Keda
from .policies import Policy
from .traces import Task, Trace, Workload

# Tasks that did not end so many seconds after the trace count as unfinished: some policies kill them for ever.
PATIENCE = 7200.0


class Moment(NamedTuple):
    """From this second on: replicas that are asked for, pods that work, and pods that are paid for."""

    second: float
    replicas: int
    ready: int
    pods: int


@dataclass(frozen=True)
class Result:
    """What a run gave: a wait in seconds for each task, seconds of pods, runs that were killed, tasks without an end.

    A wait ends with the start of the run that ended the task. `surge_seconds`: from the surge to 95 % of what it needs.
    `started`: pods that were created.
    """

    waits: tuple[float, ...]
    pod_seconds: float
    killed: int
    unfinished: int
    started: int
    surge_seconds: float | None
    timeline: tuple[Moment, ...]

    def wait(self, share: float) -> float:
        """Return the wait that this share of the tasks did not exceed."""
        ordered = sorted(self.waits)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


@dataclass(frozen=True)
class Phases:
    """Seconds of the first sync of the HPA and of KEDA's first look: nobody starts them with the load."""

    hpa: float = 0.0
    keda: float = 0.0

    @classmethod
    def of(cls, seed: int, policy: Policy) -> Phases:
        """Return the phases of a seed: the same share of each period for every policy."""
        rng = random.Random(f"phases:{seed}")
        return cls(rng.random() * SYNC_SECONDS, rng.random() * policy.keda.polling)


class Simulation:
    """The loops of the HPA and of KEDA around a cluster."""

    def __init__(self, trace: Trace, policy: Policy, phases: Phases) -> None:
        self.trace, self.policy = trace, policy
        self.clock = Clock()
        workload = trace.workload
        self.cluster = Cluster(self.clock, trace.tasks, workload, policy)
        target = policy.per_pod(workload.slots)
        self.hpa = Hpa(target, max(1, workload.min_replicas), workload.max_replicas, policy.behavior)
        self.keda = Keda(policy.keda, workload.min_replicas)
        self.seen = 0.0
        self.timeline: list[Moment] = []
        self.cluster.changed = self._note
        self.cluster.scale(workload.min_replicas, warm=True)
        self.clock.at(phases.hpa, self._sync)
        self.clock.at(phases.keda, self._poll)
        self._next_arrival(0)

    def run(self) -> Result:
        """Return the result once the trace is over and all tasks ended, or nobody is waited for any longer."""
        while self.clock.now < self.trace.seconds or (self.cluster.left and self.clock.now < self._end()):
            self.clock.step()
        return self._result()

    def _end(self) -> float:
        return self.trace.seconds + PATIENCE

    def _next_arrival(self, task: int) -> None:
        if task < len(self.trace.tasks):
            self.clock.at(self.trace.tasks[task].arrival, self._arrive, task)

    def _arrive(self, task: int) -> None:
        self._next_arrival(task + 1)
        self.cluster.arrive(task)

    def _metric(self) -> float:
        return self.policy.metric(self.cluster.load(), self.policy)

    def _sync(self) -> None:
        self.clock.at(self.clock.now + SYNC_SECONDS, self._sync)
        metric = self.seen if self.policy.keda.cached_metrics else self._metric()
        self._scale(self.hpa.sync(self.clock.now, metric, self.cluster.replicas))

    def _poll(self) -> None:
        self.clock.at(self.clock.now + self.policy.keda.polling, self._poll)
        self.seen = self._metric()
        self._scale(self.keda.poll(self.clock.now, self.seen, self.cluster.replicas))

    def _scale(self, replicas: int) -> None:
        if replicas != self.cluster.replicas:
            self.cluster.scale(replicas)

    def _note(self) -> None:
        pods = self.cluster.pods
        ready = sum(pod.ready and not pod.stopping for pod in pods)
        moment = Moment(self.clock.now, self.cluster.replicas, ready, len(pods))
        if self.timeline and self.timeline[-1].second == moment.second:
            self.timeline.pop()
        self.timeline.append(moment)

    def _result(self) -> Result:
        cluster, now = self.cluster, self.clock.now
        starts = zip(self.trace.tasks, cluster.started, cluster.ends, strict=True)
        return Result(
            waits=tuple((start if ended else now) - task.arrival for task, start, ended in starts),
            pod_seconds=self._pod_seconds(),
            killed=cluster.killed,
            unfinished=cluster.left,
            started=len(cluster.past) + len(cluster.pods),
            surge_seconds=self._surge_seconds(),
            timeline=tuple(self.timeline),
        )

    def _pod_seconds(self) -> float:
        """Every pod is paid from its creation to its end, draining ones too, as far as the trace goes."""
        end = self.trace.seconds
        lives = [(pod.created, end if pod.gone is None else pod.gone) for pod in self.cluster.past + self.cluster.pods]
        return sum(max(0.0, min(gone, end) - created) for created, gone in lives)

    def _surge_seconds(self) -> float | None:
        if self.trace.surge is None:
            return None
        enough = 0.95 * self.trace.surge_pods
        reached = (at.second for at in self.timeline if at.second >= self.trace.surge and at.ready >= enough)
        return next(reached, self._end()) - self.trace.surge


def simulate(trace: Trace, policy: Policy, seed: int = 0) -> Result:
    """Run a trace under a policy; the seed sets the phases of the controllers."""
    return Simulation(trace, policy, Phases.of(seed, policy)).run()


def replay(
    tasks: Sequence[tuple[float, float]],
    policy: Policy,
    workload: Workload,
    seconds: float,
    phases: Phases | None = None,
) -> Result:
    """Run given tasks (second of arrival, seconds of service) for so many seconds: to compare with a real cluster."""
    trace = Trace("replay", seconds, tuple(Task(*task) for task in sorted(tasks)), workload)
    return Simulation(trace, policy, phases or Phases()).run()


class Milestones(NamedTuple):
    """Seconds of a timeline: first pod that works, first instant of the peak and its replicas, last return to min."""

    first_ready: float | None
    peak: float
    peak_replicas: int
    back: float | None


def milestones(timeline: Sequence[Moment], min_replicas: int) -> Milestones:
    """Return what can be compared with a real timeline."""
    highest = max(moment.replicas for moment in timeline)
    peak = next(moment.second for moment in timeline if moment.replicas == highest)
    ready = next((moment.second for moment in timeline if moment.ready), None)
    late = [moment for moment in timeline if moment.second >= peak]
    above = [number for number, moment in enumerate(late) if moment.replicas > min_replicas]
    after = above[-1] + 1 if above else 0
    return Milestones(ready, peak, highest, late[after].second if after < len(late) else None)
