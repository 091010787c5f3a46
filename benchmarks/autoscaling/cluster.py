"""The pods of one Deployment and the tasks in their slots."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable
from typing import Any

from .policies import Load, Policy
from .traces import Task, Workload

# An idle worker's way from SIGTERM to its exit, in seconds; the same for every policy.
STOP_SECONDS = 2.0
# How fast the measured rate of arrivals and the measured service time forget.
RATE_WINDOW = 60.0
SERVICE_TASKS = 100


class Clock:
    """Simulated time: events in order of their second, those of one second in the order in which they were made."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._numbers = itertools.count()

    def at(self, second: float, action: Callable[..., None], *arguments: Any) -> None:
        """Call the action at that second."""
        heapq.heappush(self._events, (second, next(self._numbers), action, arguments))

    def step(self) -> None:
        """Go to the next event and let it happen."""
        self.now, _, action, arguments = heapq.heappop(self._events)
        action(*arguments)


class Pod:
    """A worker's pod: starting until it is ready, stopping when it takes no more tasks, then gone."""

    __slots__ = ("created", "gone", "number", "ready", "running", "stopping")

    def __init__(self, number: int, created: float) -> None:
        self.number = number
        self.created = created
        self.ready = False
        self.stopping = False
        self.gone: float | None = None
        self.running: dict[int, float] = {}


class Meter:
    """What a runtime can measure: arrivals a second and seconds of a task, both forgetting what is old."""

    def __init__(self) -> None:
        self.service: float | None = None
        self._rate = 0.0
        self._at = 0.0
        self._ended = 0

    def arrived(self, now: float) -> None:
        """Count one arrival."""
        self._rate = self.rate(now) + 1 / RATE_WINDOW
        self._at = now

    def rate(self, now: float) -> float:
        """Return the arrivals a second."""
        return self._rate * math.exp((self._at - now) / RATE_WINDOW)

    def ended(self, seconds: float) -> None:
        """Count one run that ended."""
        self._ended = min(self._ended + 1, SERVICE_TASKS)
        before = self.service or 0.0
        self.service = before + (seconds - before) / self._ended


class Cluster:
    """Pods and the queue in front of them. `scale` is what the controllers set; everything else follows."""

    def __init__(self, clock: Clock, tasks: tuple[Task, ...], workload: Workload, policy: Policy) -> None:
        self.clock, self.tasks, self.workload, self.policy = clock, tasks, workload, policy
        self.replicas = 0
        self.pods: list[Pod] = []
        self.past: list[Pod] = []
        self.waiting: deque[int] = deque()
        # A worker with a free slot waits in BRPOP, and Redis serves whom it has kept waiting longest.
        self.free: deque[Pod] = deque()
        self.running = 0
        self.started = [-1.0] * len(tasks)
        self.ends = [0] * len(tasks)
        self.left = len(tasks)
        self.killed = 0
        self.meter = Meter()
        self.changed: Callable[[], None] = lambda: None
        self._numbers = itertools.count()

    def load(self) -> Load:
        """Return what a scaler can know now."""
        rate = self.meter.rate(self.clock.now)
        return Load(len(self.waiting), self.running, self.workload.slots, rate, self.meter.service)

    def scale(self, replicas: int, *, warm: bool = False) -> None:
        """Set the Deployment's replicas; warm: the new pods are ready at once."""
        here = [pod for pod in self.pods if not pod.stopping]
        for _ in range(replicas - len(here)):
            self._create(warm)
        for pod in self._first_to_go(here)[: max(0, len(here) - replicas)]:
            self._stop(pod)
        self.replicas = replicas
        self.changed()

    def arrive(self, task: int) -> None:
        """A task enters the queue."""
        self.meter.arrived(self.clock.now)
        self.enqueue(task)

    def enqueue(self, task: int) -> None:
        """A task waits, for the first time or again, or starts where a slot is free."""
        self.waiting.append(task)
        self._hand_out()

    def _create(self, warm: bool) -> None:
        pod = Pod(next(self._numbers), self.clock.now)
        self.pods.append(pod)
        if warm:
            self._ready(pod)
        else:
            self.clock.at(self.clock.now + self.workload.pod_start, self._ready, pod)

    def _ready(self, pod: Pod) -> None:
        if pod.gone is None:
            pod.ready = True
            self.free.append(pod)
            self._hand_out()
            self.changed()

    def _first_to_go(self, pods: list[Pod]) -> list[Pod]:
        """The ReplicaSet's order: not ready, lowest deletion cost, newest; idle-first has the running tasks as cost."""
        by_tasks = self.policy.removal == "idle-first"
        return sorted(pods, key=lambda pod: (pod.ready, len(pod.running) if by_tasks else 0, -pod.number))

    def _stop(self, pod: Pod) -> None:
        pod.stopping = True
        if not pod.ready:
            self._leave(pod)
        elif not pod.running:
            self.clock.at(self.clock.now + STOP_SECONDS, self._leave, pod)
        elif self.policy.grace is not None:
            self.clock.at(self.clock.now + self.policy.grace, self._kill, pod)

    def _kill(self, pod: Pod) -> None:
        for task, start in pod.running.items():
            back = self.clock.now if self.policy.leased else start
            self.clock.at(max(self.clock.now, back + self.policy.redelivery), self.enqueue, task)
        self.killed += len(pod.running)
        self.running -= len(pod.running)
        pod.running.clear()
        self._leave(pod)

    def _leave(self, pod: Pod) -> None:
        if pod.gone is None:
            pod.gone = self.clock.now
            self.pods.remove(pod)
            self.past.append(pod)
            self.changed()

    def _hand_out(self) -> None:
        while self.waiting and self.free:
            pod = self.free.popleft()
            if pod.stopping:
                continue
            task = self.waiting.popleft()
            pod.running[task] = self.started[task] = self.clock.now
            self.running += 1
            self.clock.at(self.clock.now + self.tasks[task].service, self._end, pod, task)
            if len(pod.running) < self.workload.slots:
                self.free.append(pod)

    def _end(self, pod: Pod, task: int) -> None:
        if task not in pod.running:  # Killed before.
            return
        seconds = self.clock.now - pod.running.pop(task)
        self.running -= 1
        self.ends[task] += 1
        self.left -= 1
        self.meter.ended(seconds)
        if not pod.stopping:
            if len(pod.running) == self.workload.slots - 1:
                self.free.append(pod)
            self._hand_out()
        elif not pod.running:
            self.clock.at(self.clock.now + STOP_SECONDS, self._leave, pod)
