"""Readings -> how many slots a group wants, so that a task waits no longer than it may.

Little's law (J. D. C. Little, 1961): what is in a place on average is the rate of arrivals times the stay. So
`arrivals * service` slots are busy with what comes. What waits already shall be gone within `wait` seconds, and a slot
ends `wait / service` tasks in them: that is the "acceptable backlog per instance" (acceptable latency by average
processing time) of AWS' guide to scaling on Amazon SQS. Together:

    wanted = min(work, arrivals * service + waiting * service / wait)

More slots than there is work would idle: that is the cap. A task that takes as long as it may wait, or longer, wants a
slot of its own, so the cap makes it plain counting; so does a service time that nobody has measured yet. Until arrivals
are measured, the slots that are busy now stand for them: an exporter that has just started takes no worker away.
"""

from __future__ import annotations

import math

from app.exporter.reading import Load
from app.runtime.lease import SERVED_INTERVAL

# Seconds after which a measurement counts for 1/e.
MEMORY = 60.0
# Workers tell what they have done a while after it left the queue; a debt older than this was a purge.
PATIENCE = 2 * SERVED_INTERVAL


def slots_wanted(load: Load, arrivals: float | None, service: float | None, wait: float) -> float:
    """Return the slots for `load`, by the formula above; at least 1 while there is work or a message held for its eta.

    arrivals: tasks a second. service: seconds of a task. Both are None while unmeasured.
    wait: seconds that a task may wait.
    """
    by_law = math.inf
    if service is not None:
        # What runs for longer than the memory of arrivals would count less and less.
        busy = load.running if arrivals is None or service >= wait else arrivals * service
        by_law = busy + load.waiting * service / wait
    # Somebody must hold what waits for its eta: without workers it would go back, be taken, go back.
    least = 1 if load.work or load.held else 0
    return max(least, min(load.work, by_law))


class RecentRatio:
    """A sum by another, with older summands fading."""

    def __init__(self) -> None:
        self.value: float | None = None
        self._above = self._below = 0.0

    def add(self, above: float, below: float, elapsed: float) -> None:
        """Add a summand to each, `elapsed` seconds after the last ones; `below` is above 0."""
        fading = math.exp(-elapsed / MEMORY)
        self._above = self._above * fading + above
        self._below = self._below * fading + below
        self.value = self._above / self._below


class Demand:
    """Arrivals and service time of one group, learned from its readings."""

    def __init__(self) -> None:
        self._arrivals, self._service = RecentRatio(), RecentRatio()
        self._before: Load | None = None
        self._read_at = self._served_at = 0.0
        # Completions that must still be told: messages that are gone, or at most 0.
        self._owed, self._forgiven_at = 0.0, 0.0

    @property
    def arrivals(self) -> float | None:
        """Tasks that come in a second; None before the second reading."""
        return self._arrivals.value

    @property
    def service(self) -> float | None:
        """Seconds that a task keeps a slot busy; None while none has ended."""
        return self._service.value

    def observe(self, load: Load, now: float) -> None:
        """Learn from a reading at `now`, seconds of a clock that never goes back."""
        before, elapsed = self._before, now - self._read_at
        self._before, self._read_at = load, now
        if before is None:
            self._begin(load, now)
            return
        tasks, seconds = load.tasks - before.tasks, load.seconds - before.seconds
        if elapsed <= 0 or tasks < 0 or seconds < 0:
            # A Redis that lost its data began to count anew: this interval says nothing.
            self._owed = 0.0
            return
        self._arrivals.add(self._arrived(tasks + load.work - before.work, now), elapsed, elapsed)
        if tasks:
            self._service.add(seconds, tasks, now - self._served_at)
            self._served_at = now

    def _begin(self, load: Load, now: float) -> None:
        self._served_at = now
        if load.tasks:
            # The mean since ever is a guess that weighs no more than one task.
            self._service.add(load.seconds / load.tasks, 1, 0)

    def _arrived(self, change: float, now: float) -> float:
        """Return the arrivals behind `change`, completions and growth of work, less what is owed; never below 0."""
        if now >= self._forgiven_at:
            self._owed = 0.0
        if self._owed == 0:
            self._forgiven_at = now + PATIENCE
        balance = change + self._owed
        self._owed = min(0.0, balance)
        return max(0.0, balance)
