"""Worker -> probe: two files that say whether this worker lives and whether it takes work.

`alive` is touched by a thread of its own while the event loop turns, or while the loop waits for a Redis that nobody
can reach; so an outage restarts no worker, and a hung one goes stale. `ready` exists while the worker consumes.
A probe that pings through Redis fails with Redis, costs 190 times as much, and says pong while BRPOP is dead.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from celery import Celery
from celery.utils.log import get_logger

from app.runtime.clients import dedicated
from app.runtime.lease import ledger
from app.runtime.options import Options

logger = get_logger(__name__)

INTERVAL = 2.0
# Seconds from a connection to the first look whether the loop turns and consumes.
SOON = 0.1
ALIVE, READY, TICK = "alive", "ready", "tick"
# BRPOP is sent anew every second; this much silence with room for work means that nothing is consumed.
CONSUMING_WITHIN = 15.0
# While reconnecting, how often to look whether Redis answers others.
PROBE_INTERVAL = 10.0


class Heartbeat(threading.Thread):
    """Touches the files every two seconds for as long as the worker deserves it."""

    def __init__(self, app: Celery, options: Options) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self.app, self.options = app, options
        self.folder = Path(options.heartbeat_dir)
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in (ALIVE, READY):
            (self.folder / name).unlink(missing_ok=True)
        self.consumer: Any = None
        self.leaving = False
        self._ticked = self._consumed = time.monotonic()
        self._connected = False
        # From a loss until the loop is seen to consume: a worker that connects and breaks again has not recovered.
        self._unproven = True
        self._answered_since: float | None = None
        self._probed = 0.0

    def run(self) -> None:
        """Touch until the process ends."""
        while True:
            with suppress(OSError):
                if self.deserved():
                    (self.folder / ALIVE).touch()
                self._show_ready()
            time.sleep(INTERVAL)

    def tick(self) -> None:
        """Note a turn of the event loop; called by its timer."""
        self._ticked = time.monotonic()
        if self._consumes():
            self._consumed = self._ticked
            first, self._unproven, self._answered_since = self._unproven, False, None
            if first:
                # A rollout waits for the file: not for the thread's next turn.
                with suppress(OSError):
                    self._show_ready()

    def lost(self) -> None:
        """Note that the consumer lost its connection and reconnects."""
        self._connected, self._unproven = False, True

    def connected(self, consumer: Any) -> None:
        """Note that the consumer is connected."""
        self.consumer, self._connected = consumer, True
        self._ticked = self._consumed = time.monotonic()

    def leave(self, **_: Any) -> None:
        """Note that the worker shuts down: it takes nothing more, and soft shutdown puts the loop to sleep."""
        self.leaving = True
        with suppress(OSError):
            (self.folder / READY).unlink(missing_ok=True)

    def age(self) -> float:
        """Return the seconds since the event loop last turned."""
        return time.monotonic() - self._ticked

    def takes_work(self) -> bool:
        """Return whether the worker takes messages, or would if its queues were not paused."""
        return not self.leaving and not self._unproven and time.monotonic() - self._consumed < CONSUMING_WITHIN

    def deserved(self) -> bool:
        """Return whether the worker is to count as alive."""
        if self.leaving:
            return True
        now, tolerance = time.monotonic(), self.options.heartbeat_tolerance
        if self.consumer is not None and self.consumer.pool.__module__.endswith(".solo") and ledger.runs():
            # The solo pool runs the task in the event loop, which can't turn meanwhile.
            return True
        if self._unproven and not self._reconnect_is_excused(now):
            return False
        return not self._connected or (now - self._ticked < tolerance and now - self._consumed < 3 * tolerance)

    def _reconnect_is_excused(self, now: float) -> bool:
        if now - self._probed >= PROBE_INTERVAL:
            self._probed = now
            try:
                dedicated(self.app, timeout=2).ping()
            except Exception:  # whatever it is, Redis does not answer
                self._answered_since = None
            else:
                self._answered_since = self._answered_since or now
        return self._answered_since is None or now - self._answered_since < self.options.reconnect_limit

    def _consumes(self) -> bool:
        if self.consumer is None or self.consumer.task_consumer is None:
            return False
        channel = self.consumer.task_consumer.channel
        if not channel.active_queues or not channel.qos.can_consume():
            return True
        sent_at = getattr(channel, "_brpop_sent_at", None)
        return sent_at is None or time.monotonic() - sent_at < CONSUMING_WITHIN

    def _show_ready(self) -> None:
        if self.takes_work():
            (self.folder / READY).touch()
        else:
            (self.folder / READY).unlink(missing_ok=True)
