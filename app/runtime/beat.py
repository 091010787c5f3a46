"""Beat -> broker: RedBeat, mended where it forgets, doubles or dies.

Plain RedBeat exits about 3 s after Redis stops; it moves a schedule's last run before it publishes, so that one failed
publish loses a month's billing; and it is silent while it waits for another's lock. This scheduler outlives outages,
moves the last run only after the publish, and shows a sign of life at every turn of its loop.
"""

from __future__ import annotations

import os
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from celery.beat import ScheduleEntry
from celery.signals import beat_init
from celery.utils.log import get_logger
from kombu.exceptions import OperationalError
from redbeat.schedulers import LUA_EXTEND_TO_SCRIPT, RedBeatScheduler, acquire_distributed_beat_lock, get_redis
from redis.exceptions import LockError, RedisError
from redis.lock import Lock

from app.runtime import metrics
from app.runtime.guard import ONCE
from app.runtime.heartbeat import TICK
from app.runtime.limits import queue_of
from app.runtime.servers import advice, examine

logger = get_logger("celery.beat")

OUTAGE = (RedisError, OSError, OperationalError)
# Seconds between two tries while Redis is away or another beat holds the lock.
RETRY = 1.0

# RedBeat's receiver blocks in silence until the lock is free; `tick` takes it instead.
beat_init.disconnect(acquire_distributed_beat_lock)


class Scheduler(RedBeatScheduler):
    """One of any number of beats: the one with the lock ticks, the others wait and are seen to live."""

    lock: Lock | None

    def __init__(self, app: Any, **kwargs: Any) -> None:
        folder = app.conf.runtime.heartbeat_dir
        self._tick_file = Path(folder) / TICK if folder else None
        self._extended_at = 0.0
        self._set_up = self._examined = False
        self._said = ""
        self._ticked_at: float | None = None
        if not kwargs.get("lazy"):  # Celery makes another scheduler for its banner
            metrics.serve_beat(app, app.conf.runtime, lambda: self._ticked_at)
        super().__init__(app, **kwargs)

    def setup_schedule(self) -> None:
        """Left to the first tick: Redis may start after beat."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Publish what is due if the lock is ours; return the seconds until the next turn."""
        self._show_life()
        try:
            self._examine_server()
            if not self._own_lock():
                return RETRY
            if not self._set_up:
                super().setup_schedule()
                self._set_up = True
            self._ticked_at = time.time()
            waits = [self._turn(entry) for entry in self.schedule.values()]
        except OUTAGE as error:
            self._say(f"beat: Redis can't be used, trying again every {RETRY:.0f} s. {advice(error)} ({error})")
            return RETRY
        self._say("")
        return float(min([*waits, self.max_interval]))

    def _examine_server(self) -> None:
        if self._examined:
            return
        try:
            examine(get_redis(self.app))
        except SystemExit as refused:
            # Celery's beat takes it for the wish to end well, with code 0; there is nothing yet to put in order.
            os._exit(int(str(refused.code)))
        self._examined = True

    def _say(self, sentence: str) -> None:
        if sentence and sentence != self._said:
            logger.warning(sentence)
        self._said = sentence

    def _turn(self, entry: ScheduleEntry) -> float:
        try:
            return self.maybe_due(entry)
        except OUTAGE:
            raise
        except Exception:
            # One entry that can't be sent must not stop the others; it stays due.
            logger.exception("beat: %s can't be sent", entry.name)
            return float(self.max_interval)

    def maybe_due(self, entry: ScheduleEntry, **kwargs: Any) -> float:
        """Publish `entry` if it is due, and only then move its last run; return the seconds until it is due again.

        Raises the broker's errors, so that the entry stays due and is published later.
        """
        is_due, next_time = entry.is_due()
        if not is_due:
            return float(next_time)
        if not self._own_lock():
            return RETRY
        options = {**entry.options, **self._once(entry), **self._expiry(entry)}
        logger.info("Scheduler: Sending due task %s (%s)", entry.name, entry.task, extra=self._fields(entry, options))
        args, keywords = list(entry.args or ()), dict(entry.kwargs or {})
        task = self.app.tasks.get(entry.task)
        if task is not None:
            task.apply_async(args, keywords, producer=self.producer, **options)
        else:
            self.app.send_task(entry.task, args, keywords, producer=self.producer, **options)
        return float(self.reserve(entry).is_due()[1])

    def _fields(self, entry: ScheduleEntry, options: dict[str, Any]) -> dict[str, Any]:
        queue = options.get("queue") or queue_of(self.app, entry.task)
        return {"task_id": options["task_id"], "task": entry.task, "queue": getattr(queue, "name", queue), "attempt": 1}

    def _once(self, entry: ScheduleEntry) -> dict[str, Any]:
        # The id follows from the run before: published twice, because an answer was lost or this beat stood still, the
        # tick is one task, and the worker drops the second copy.
        before = entry.last_run_at.isoformat() if entry.last_run_at else "never"
        task_id = uuid.uuid5(uuid.NAMESPACE_OID, f"{entry.name} after {before}")
        return {"task_id": str(task_id), "headers": {**(entry.options.get("headers") or {}), ONCE: True}}

    def _expiry(self, entry: ScheduleEntry) -> dict[str, Any]:
        # A tick published late must still expire before the next one.
        expires = entry.options.get("expires")
        if not isinstance(expires, int | float):
            return {}
        until_next = entry.schedule.remaining_estimate(self.app.now()).total_seconds()
        return {"expires": max(1.0, min(expires, until_next - 1))}

    def close(self) -> None:
        """Free the lock, so that a successor need not wait for it."""
        with suppress(*OUTAGE):
            super().close()

    def _own_lock(self) -> bool:
        """Return whether this beat has the lock, for at least two thirds of its time from now."""
        now = time.monotonic()
        try:
            if self.lock is None:
                lock: Lock = get_redis(self.app).lock(self.lock_key, timeout=self.lock_timeout)
                lock.lua_extend = lock.redis.register_script(LUA_EXTEND_TO_SCRIPT)
                if not lock.acquire(blocking=False):
                    return False
                logger.info("beat: Acquired lock")
                self.lock, self._extended_at = lock, now
            elif now - self._extended_at > min(self.lock_timeout / 3, self.max_interval):
                self.lock.extend(int(self.lock_timeout))
                self._extended_at = now
        except LockError:
            logger.warning("beat: the lock went to another beat while this one stood still")
            self.lock = None
            return False
        return True

    def _show_life(self) -> None:
        if self._tick_file is not None:
            with suppress(OSError):
                self._tick_file.parent.mkdir(parents=True, exist_ok=True)
                self._tick_file.touch()
