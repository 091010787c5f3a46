"""Broker -> exporter: one look at every queue and group, at beat and at the server, at one cost for any length."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from redis import Redis

from app.exporter import beat, server
from app.exporter.batch import OLDEST, Answers, Question, ask
from app.exporter.beat import Beat
from app.exporter.config import Group, Settings
from app.exporter.server import Server
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
class Queue:
    """A queue at one moment; None is what nobody knows.

    oldest: seconds for which the message has waited that has waited longest; 0 when none waits, and None when it says
    no time, for it was not sent with the runtime.
    """

    length: int
    oldest: float | None
    paused: bool | None


@dataclass(frozen=True, slots=True)
class Crew:
    """A group's workers at one moment; None is what Redis refused to tell.

    workers: those that have renewed their leases within a lease. A worker that was killed counts until its lease ends.
    oldest: seconds for which the task runs that has run longest, as of its worker's last renewal; 0 when none runs.
    lapsed: messages that a worker took and nobody has renewed for a lease. dead: the group's dead letters.
    """

    workers: int | None
    oldest: float | None
    lapsed: int | None
    dead: int | None


@dataclass(frozen=True, slots=True)
class Reading:
    """The broker at one moment: queues, and the load and the crew of groups, by name.

    refused: what Redis said instead of the numbers that are missing.
    """

    queues: dict[str, Queue]
    groups: dict[str, Load]
    crews: dict[str, Crew]
    beat: Beat | None
    server: Server
    refused: frozenset[str] = frozenset()


def read(client: Redis, settings: Settings, now: float) -> Reading:
    """Return what the broker has at `now`, unix seconds. Raises redis-py's errors."""
    keys, groups = settings.keys, settings.groups
    names = [queue for group in groups for queue in group.queues]
    questions = [question for group in groups for question in _of_group(keys, group, now, settings.lease)]
    questions.append(Question("smismember", keys.paused(), tuple(names)))
    if settings.beat:
        questions += beat.questions(keys, now)
    answers, info = ask(client, questions)
    lengths: dict[str, tuple[int, float | None]] = {}
    loads: dict[str, Load] = {}
    crews: dict[str, Crew] = {}
    for group in groups:
        here = {queue: _length(answers, keys, queue, now) for queue in group.queues}
        lengths |= here
        loads[group.name] = _load(answers, sum(length for length, _ in here.values()))
        crews[group.name] = _crew(answers, now)
    paused = answers.maybe() or [None] * len(names)
    queues = {
        name: Queue(*lengths[name], None if flag is None else bool(flag))
        for name, flag in zip(names, paused, strict=True)
    }
    ticks = beat.parse(answers, keys, settings.beat_lock, now) if settings.beat else None
    return Reading(queues, loads, crews, ticks, server.parse(info), frozenset(answers.refused))


def _of_group(keys: Keys, group: Group, now: float, lease: float) -> Iterator[Question]:
    for key in (key for queue in group.queues for key in keys.waiting(queue)):
        yield Question("llen", key)
        yield Question(OLDEST, key)
    yield Question("hlen", keys.unacked(group.name))
    # What is due is work, also while no worker lives who would take it off this set.
    yield Question("zcount", keys.held(group.name), (f"({now}", "+inf"))
    yield Question("hmget", keys.served(group.name), ("tasks", "seconds"))
    yield Question("zcount", keys.workers(group.name), (str(now - lease), "+inf"))
    yield Question("zrange", keys.running(group.name), ("0", "0", "WITHSCORES"))
    yield Question("zcount", keys.unacked_index(group.name), ("-inf", f"({now - lease}"))
    yield Question("hlen", keys.dead_letters(group.name))


def _length(answers: Answers, keys: Keys, queue: str, now: float) -> tuple[int, float | None]:
    """Return the queue's length and the age of its oldest message."""
    told = [(answers.count(), answers.maybe()) for _ in keys.waiting(queue)]
    ages = [_age(stamp, now) for length, stamp in told if length]
    known = [age for age in ages if age is not None]
    return sum(length for length, _ in told), max(known) if known else None if ages else 0.0


def _load(answers: Answers, waiting: int) -> Load:
    in_flight, held, (tasks, seconds) = answers.count(), answers.count(), answers.needed()
    # The set is tidied by workers, so it may name messages that a dead one left.
    return Load(waiting, in_flight, min(held, in_flight), int(tasks or 0), float(seconds or 0))


def _crew(answers: Answers, now: float) -> Crew:
    workers, running, lapsed, dead = (answers.maybe() for _ in range(4))
    oldest = None if running is None else _age(running[1], now) if running else 0.0
    return Crew(workers, oldest, lapsed, dead)


def _age(stamp: Any, now: float) -> float | None:
    """Return the seconds since `stamp`, the text of unix seconds that anybody may have written."""
    try:
        since = float(stamp)
    except (TypeError, ValueError):
        return None
    return max(0.0, now - since) if math.isfinite(since) else None
