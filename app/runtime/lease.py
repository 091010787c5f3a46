"""Worker <-> broker: the leases on what this worker holds, and the thread that renews them.

A message that a worker took stands in its group's unacked hash, and in an index by the time of its last renewal.
Whoever finds it unrenewed for a whole lease may run it. So a dead worker's work is back after one lease, however
long tasks run, and a living worker's work is never taken, however long it takes.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

from celery import Celery
from celery.utils.log import get_logger
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError, ResponseError

from app.runtime.clients import dedicated
from app.runtime.keys import Keys
from app.runtime.options import Options

logger = get_logger(__name__)

DONE = "done"
# Seconds between two reads of the paused queues.
PAUSE_INTERVAL = 3.0
# Seconds between two additions to what the group has done: as often as KEDA looks.
SERVED_INTERVAL = 5.0
# How many of the messages that wait for their eta are looked after at each renewal, the soonest first.
HELD_LIMIT = 200


@dataclass(slots=True)
class Run:
    """One running attempt: the keys of its execution mark and of its count of starts, and when it went to the pool.

    began: seconds of the monotonic clock. limit: seconds after which it is killed; 0 where nobody says.
    """

    mark: str
    starts: str
    began: float = 0.0
    limit: float = 0.0


@dataclass
class Ledger:
    """What this process holds, by delivery tag. Written by the event loop, read by the renewal thread."""

    lease: float = 60.0
    owner: str = ""
    reconnecting: bool = False
    _held: dict[str, None] = field(default_factory=dict)
    _rescued: deque[tuple[str, str]] = field(default_factory=deque)
    _awaiting: set[str] = field(default_factory=set)
    # Bounded for an outage of Redis: what is forgotten makes an average older, not wrong.
    _served: deque[float] = field(default_factory=lambda: deque(maxlen=100_000))
    _running: dict[str, Run] = field(default_factory=dict)
    _unsettled: dict[str, Run | None] = field(default_factory=dict)
    _forgiven: list[Run] = field(default_factory=list)
    _undisturbed_since: float | None = None
    wake: threading.Event = field(default_factory=threading.Event)

    def hold(self, tag: str) -> None:
        """Note that this process took the message `tag`."""
        self._held[tag] = None

    def holds(self, tag: str) -> bool:
        """Return whether `tag` is still this process's to run."""
        return tag in self._held

    def rescue(self, key: str, text: str) -> None:
        """Leave it to the renewal thread to put a message, popped and never noted, back on its list `key`."""
        self._rescued.append((key, text))
        self.wake.set()

    def rescued(self) -> deque[tuple[str, str]]:
        """Return the messages to put back; whoever has put one back takes it out."""
        return self._rescued

    def await_eta(self, tag: str) -> None:
        """Note that `tag` is held until its eta."""
        self._awaiting.add(tag)

    def awaits(self, tag: str) -> bool:
        """Return whether `tag` is held until its eta."""
        return tag in self._awaiting

    def waits(self, tag: str) -> bool:
        """Return whether the task of `tag` has not gone to the pool."""
        return tag in self._held and tag not in self._running and tag not in self._unsettled

    def start(self, tag: str, run: Run) -> None:
        """Note that the task of `tag` went to the pool."""
        run.began = time.monotonic()
        self._running[tag] = run
        self._awaiting.discard(tag)

    def release(self, tag: str) -> Run | None:
        """Forget `tag`, and return its run if its task had started."""
        self._held.pop(tag, None)
        self._awaiting.discard(tag)
        return self._running.pop(tag, None)

    def ended(self, tag: str) -> None:
        """Forget `tag`, whose task has ended, and count its time."""
        self._count(self.release(tag))

    def _count(self, run: Run | None) -> None:
        if run is not None:
            self._served.append(time.monotonic() - run.began)

    def served(self) -> list[float]:
        """Return the seconds of each task that has ended since the last call."""
        return [self._served.popleft() for _ in range(len(self._served))]

    def running(self, tag: str) -> Run | None:
        """Return the run of `tag` if its task went to the pool and has not ended."""
        return self._running.get(tag)

    def settle_later(self, tag: str) -> None:
        """Leave it to the renewal thread to take the ended message `tag` out of Redis."""
        self._unsettled[tag] = run = self._running.pop(tag, None)
        self._count(run)
        self.wake.set()

    def forgive(self, run: Run) -> None:
        """Leave it to the renewal thread to forget the starts of `run` and to free its mark."""
        self._forgiven.append(run)
        self.wake.set()

    def forgiven(self) -> list[Run]:
        """Return the runs whose keys are to be deleted."""
        return list(self._forgiven)

    def settled(self, tags: Iterable[str]) -> None:
        """Forget ended messages that are out of Redis now."""
        for tag in tags:
            self._unsettled.pop(tag, None)
            self._held.pop(tag, None)

    def freed(self, runs: Iterable[Run]) -> None:
        """Forget runs whose keys are deleted."""
        for run in runs:
            self._forgiven.remove(run)

    def held(self) -> list[str]:
        """Return the tags to renew."""
        return list(self._held)

    def runs(self) -> list[Run]:
        """Return the runs whose marks are to renew."""
        return list(self._running.values())

    def unsettled(self) -> dict[str, Run | None]:
        """Return the ended messages that Redis still lists as held."""
        return dict(self._unsettled)

    def kept_over_reconnect(self) -> set[str]:
        """Return the tags not to give back when a channel closes: ended ones, and while reconnecting, running ones."""
        return {*self._unsettled, *(self._running if self.reconnecting else ())}

    def disturbed(self) -> None:
        """Note that the connection to Redis broke: nothing may be swept until one lease after `connected`."""
        self._undisturbed_since = None

    def connected(self) -> None:
        """Note that the connection to Redis stands."""
        self.reconnecting = False
        self._undisturbed_since = time.monotonic()

    def stumbled(self) -> None:
        """Note that a renewal failed; the others' may have failed too."""
        if self._undisturbed_since is not None:
            self._undisturbed_since = time.monotonic()

    def undisturbed_seconds(self) -> float:
        """Return for how many seconds the connection has stood and every renewal has succeeded."""
        return 0.0 if self._undisturbed_since is None else time.monotonic() - self._undisturbed_since


# One worker is one process, and kombu makes its QoS objects where nothing can be handed to them.
ledger = Ledger()


def mark_done(pipe: Pipeline, run: Run, lease: float) -> None:
    """Queue on `pipe` that copies of an ended attempt are to end too, for as long as one may still turn up."""
    pipe.set(run.mark, DONE, px=int(lease * 1000))


class Keeper(threading.Thread):
    """Renews every third of a lease on a connection of its own, until the process ends.

    A thread, because the event loop sleeps during soft shutdown and blocks in a synchronous command on a dead socket.
    """

    def __init__(self, app: Celery, options: Options, group: str) -> None:
        super().__init__(name="lease-keeper", daemon=True)
        self.app, self.options = app, options
        keys = Keys.of(app)
        self._hash, self._index, self._paused = keys.unacked(group), keys.unacked_index(group), keys.paused()
        self._held, self._served = keys.held(group), keys.served(group)
        self._workers, self._running = keys.workers(group), keys.running(group)
        self.paused: frozenset[str] = frozenset()
        self._client: Redis | None = None
        self._ending = threading.Event()

    def run(self) -> None:
        """Renew until stopped; a Redis that is away is tried again every second."""
        renewal_due = pauses_due = served_due = 0.0
        while not self._ending.is_set():
            try:
                if self._client is None:
                    self._client = dedicated(self.app, timeout=min(5.0, self.options.renewal_interval))
                self.settle()
                if time.monotonic() >= renewal_due:
                    self.renew()
                    renewal_due = time.monotonic() + self.options.renewal_interval
                    # Only told to scalers: a Redis that refuses it must not end the renewals.
                    with suppress(ResponseError):
                        self._tidy_held()
                        self._register()
                if time.monotonic() >= served_due:
                    served_due = time.monotonic() + SERVED_INTERVAL
                    with suppress(ResponseError):
                        self._add_served()
                if time.monotonic() >= pauses_due:
                    self._read_paused()
                    pauses_due = time.monotonic() + PAUSE_INTERVAL
            except Exception as error:  # whatever it is: a thread that ends gives all the work away
                ledger.stumbled()
                logger.warning("Lease renewal failed, trying again: %s", error)
                self._client = None
                self._ending.wait(0.5)
            ledger.wake.wait(min(1.0, self.options.renewal_interval / 4))
            ledger.wake.clear()

    def renew(self) -> None:
        """Put the present time to every held message and execution mark: one round trip."""
        assert self._client is not None
        tags, runs = ledger.held(), ledger.runs()
        if not self.options.renew or not (tags or runs):
            return
        now = time.time()
        pipe = self._client.pipeline(transaction=False)
        if tags:
            pipe.zadd(self._index, dict.fromkeys(tags, now), xx=True)
        for run in runs:
            # Not a plain SET: it could overwrite the DONE of a task that ended this very moment.
            pipe.set(run.mark, ledger.owner, px=int(self.options.lease * 1000), nx=True)
            pipe.pexpire(run.mark, int(self.options.lease * 1000))
        pipe.execute()

    def settle(self) -> None:
        """Take ended messages, whose acknowledgement met a broken connection, out of Redis."""
        assert self._client is not None
        while rescued := ledger.rescued():
            # The next in line, as it was.
            self._client.rpush(*rescued[0])
            rescued.popleft()
        forgiven = ledger.forgiven()
        if forgiven:
            self._client.delete(*(key for run in forgiven for key in (run.mark, run.starts)))
            ledger.freed(forgiven)
        unsettled = ledger.unsettled()
        if not unsettled:
            return
        pipe = self._client.pipeline()
        pipe.zrem(self._index, *unsettled)
        pipe.zrem(self._held, *unsettled)
        pipe.hdel(self._hash, *unsettled)
        for run in unsettled.values():
            if run is not None:
                mark_done(pipe, run, self.options.lease)
        pipe.execute()
        ledger.settled(unsettled)

    def stop(self) -> None:
        """End the thread, after one more try to settle what has ended."""
        self._ending.set()
        ledger.wake.set()
        if self.ident is not None:  # a worker may be stopped before its first connection
            self.join(timeout=2)
        if self._client is not None and not self.is_alive():
            with suppress(RedisError, OSError):
                self._forget([ledger.owner])
        if ledger.unsettled():
            with suppress(RedisError, OSError):
                self._client = dedicated(self.app, timeout=2)
                self.settle()

    def _register(self) -> None:
        """Say that this worker lives and since when its oldest task runs; forget who was not heard for a lease."""
        assert self._client is not None
        now = time.time()
        ages = [time.monotonic() - run.began for run in ledger.runs()]
        pipe = self._client.pipeline(transaction=False)
        pipe.zadd(self._workers, {ledger.owner: now})
        if ages:
            pipe.zadd(self._running, {ledger.owner: now - max(ages)})
        else:
            pipe.zrem(self._running, ledger.owner)
        for key in (self._workers, self._running):
            # Where no worker lives nobody forgets.
            pipe.pexpire(key, int(2000 * self.options.lease))
        pipe.zrangebyscore(self._workers, "-inf", now - self.options.lease)
        if silent := pipe.execute()[-1]:
            self._forget(silent)

    def _forget(self, owners: Sequence[str | bytes]) -> None:
        assert self._client is not None
        for key in (self._workers, self._running):
            self._client.zrem(key, *owners)

    def _tidy_held(self) -> None:
        # A worker that died wrote nothing: its messages are due, or went back to their queue, and are work again.
        assert self._client is not None
        self._client.zremrangebyscore(self._held, "-inf", time.time())
        tags = cast("list[bytes]", self._client.zrange(self._held, 0, HELD_LIMIT - 1))
        if tags:
            pipe = self._client.pipeline(transaction=False)
            for tag in tags:
                pipe.hexists(self._hash, tag)
            if gone := [tag for tag, there in zip(tags, pipe.execute(), strict=True) if not there]:
                self._client.zrem(self._held, *gone)

    def _add_served(self) -> None:
        assert self._client is not None
        if served := ledger.served():
            pipe = self._client.pipeline(transaction=False)
            pipe.hincrby(self._served, "tasks", len(served))
            pipe.hincrbyfloat(self._served, "seconds", sum(served))
            pipe.execute()

    def _read_paused(self) -> None:
        assert self._client is not None
        self.paused = frozenset(name.decode() for name in cast("set[bytes]", self._client.smembers(self._paused)))
