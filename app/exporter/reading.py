"""Broker -> exporter: one look at every queue and group, in one pipeline, at one cost for any length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from redis import Redis

from app.exporter.config import Group
from app.runtime.keys import Keys


@dataclass(frozen=True, slots=True)
class Load:
    """A group at one moment.

    waiting: messages that no worker has taken. in_flight: those that workers hold.
    held: of these, the ones that wait in a worker for their eta.
    tasks, seconds: what its workers have done since ever: a count, and the seconds that slots were busy with it.
    """

    waiting: int
    in_flight: int
    held: int
    tasks: int
    seconds: float

    @property
    def running(self) -> int:
        """Messages that workers hold and may run now."""
        return self.in_flight - self.held

    @property
    def work(self) -> int:
        """Messages that want a slot now."""
        return self.waiting + self.running


@dataclass(frozen=True, slots=True)
class Reading:
    """The broker at one moment: lengths of queues and the load of groups, by name."""

    queues: dict[str, int]
    groups: dict[str, Load]


def read(client: Redis, keys: Keys, groups: Iterable[Group], now: float) -> Reading:
    """Return what the broker has at `now`, unix seconds. Raises redis-py's errors."""
    groups = tuple(groups)
    pipe = client.pipeline(transaction=False)
    for group in groups:
        # A message that is taken meanwhile counts twice for a moment; the other order would miss it.
        for key in (key for queue in group.queues for key in keys.waiting(queue)):
            pipe.llen(key)
        pipe.hlen(keys.unacked(group.name))
        # What is due is work, also while no worker lives who would take it off this set.
        pipe.zcount(keys.held(group.name), f"({now}", "+inf")
        pipe.hmget(keys.served(group.name), "tasks", "seconds")
    answers: Iterator[Any] = iter(pipe.execute())
    reading = Reading({}, {})
    for group in groups:
        lengths = {queue: sum(next(answers) for _ in keys.waiting(queue)) for queue in group.queues}
        reading.queues.update(lengths)
        in_flight, held, (tasks, seconds) = next(answers), next(answers), next(answers)
        # The set is tidied by workers, so it may name messages that a dead one left.
        load = Load(sum(lengths.values()), in_flight, min(held, in_flight), int(tasks or 0), float(seconds or 0))
        reading.groups[group.name] = load
    return reading
