"""Broker -> exporter: whether beat ticks, and which schedules are late, from what RedBeat keeps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from app.exporter.batch import DUE, Answers, Question
from app.runtime.keys import Keys

# Schedules on the page, those first that are due first: an application may make thousands of them while it runs.
LIMIT = 100
# Characters of a name.
LONGEST = 200


@dataclass(frozen=True, slots=True)
class Beat:
    """Beat at one moment; None is what nobody knows.

    locked: some beat has the lock, so it may tick. ticked: when it last extended the lock, unix seconds: beat does so
    at a turn of its loop when the last time was 5 s ago (or a third of the lock, if that is less).
    overdue: by schedule, the seconds since it should have been sent; 0 when its time has not come.
    """

    locked: bool | None
    ticked: float | None
    overdue: dict[str, float]


def questions(keys: Keys, now: float) -> Iterator[Question]:
    """Yield what to ask about beat at `now`, unix seconds."""
    yield Question("pttl", keys.beat_lock())
    yield Question(DUE, keys.schedule(), (str(now), str(LIMIT)))


def parse(answers: Answers, keys: Keys, lock: float, now: float) -> Beat:
    """Return beat at `now`, unix seconds, from the answers. lock: seconds for which it takes its lock."""
    left, entries = answers.maybe(), answers.maybe()
    locked = None if left is None else left != -2
    # -1: a lock without an end tells no time.
    ticked = min(now, now - lock + left / 1000) if locked and left >= 0 else None
    return Beat(locked, ticked, {_name(key, keys): max(0.0, now - float(due)) for key, due in _pairs(entries or [])})


def _pairs(entries: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    return zip(entries[::2], entries[1::2], strict=True)


def _name(key: bytes, keys: Keys) -> str:
    return key.decode(errors="replace").removeprefix(keys.redbeat())[:LONGEST]
