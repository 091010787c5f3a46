"""Worker: what is checked in Redis before each start of a task, in one round trip.

A cancelled task ends. A copy of a task that still runs waits for it, and ends with it. A message whose every start
ended in the death of its worker goes to the dead letters. Everything else starts, and its execution mark is set.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from celery import Celery
from celery.utils.log import get_logger
from celery.worker import state
from celery.worker.request import Request
from redis import Redis

from app.runtime import deadletter, metrics
from app.runtime.clients import dedicated
from app.runtime.failures import fail, watch
from app.runtime.handled import handling
from app.runtime.keys import Keys
from app.runtime.lease import DONE, Run, ledger
from app.runtime.options import Options

logger = get_logger(__name__)

# Seconds between two looks at the mark of a running original.
WAIT = 1.0
# Header of a message whose second copy is dropped even after the first has ended: a tick of beat.
ONCE = "once"
# Starts are counted for a day: longer than any outage that brings one message back again and again.
STARTS_TTL = 86400


class Verdict(Enum):
    """What becomes of a message that is about to start."""

    RUN = "run"
    WAIT = "wait"
    END = "end"
    CANCELLED = "cancelled"
    DEAD = "dead"
    REFUSED = "refused"


def is_ending() -> bool:
    """Return whether this worker was told to end; it starts nothing more."""
    return any(asked is not None and asked is not False for asked in (state.should_stop, state.should_terminate))


class Guard:
    """Stands between Celery's consumer and its pool."""

    def __init__(self, app: Celery, options: Options, group: str) -> None:
        self.app, self.options, self.group, self.keys = app, options, group, Keys.of(app)
        self._client: Redis | None = None

    def install(self, consumer: Any) -> None:
        """Put this guard before the pool of `consumer`'s worker."""
        self.consumer, self.controller = consumer, consumer.controller
        start: Callable[[Request], None] = self.controller._process_task
        self.controller._process_task = lambda request: self.admit(request, start)
        # Pools without an event loop hand requests straight on, and the consumer has the method already.
        if consumer.on_task_request == start:
            consumer.on_task_request = self.controller._process_task

    def admit(self, request: Request, start: Callable[[Request], None]) -> None:
        """Start `request`, or do what else its marks ask for."""
        tag = request.message.delivery_tag
        if is_ending():
            # The loop turns once more after the signal. The pool would drop it, and it would wait for the last task.
            self._free_slot()
            state.task_ready(request)
            if ledger.holds(tag):
                request.message.channel.qos.give_back(tag)
            return None
        run = self._run_of(request)
        verdict = self._judge(request, run)
        if verdict is Verdict.RUN:
            run.limit = request.time_limits[0] or request.task.time_limit or self.app.conf.task_time_limit or 0
            ledger.start(tag, run)
            watch(request, self._bury)
            metrics.follow(request)
            return start(request)
        self._free_slot()
        if verdict is Verdict.WAIT:
            return self._wait(request, tag)
        with handling(request):
            self._end(request, verdict)

    def _end(self, request: Request, verdict: Verdict) -> None:
        if verdict is Verdict.CANCELLED:
            request._announce_revoked("cancelled", False, None, False)
        elif verdict is Verdict.REFUSED:
            sentence = _too_long(request, self.app.conf.task_time_limit)
            logger.error("Task %s[%s] is refused: %s", request.name, request.id, sentence)
            fail(request, ValueError(sentence))
        elif verdict is Verdict.DEAD:
            reason = f"{self.options.kills + 1} starts had no end: the worker died, or could not publish what follows"
            self._bury(request, reason)
            fail(request, deadletter.DeadLetter(reason))
        else:
            logger.info("Task %s[%s] ended meanwhile; its copy is dropped", request.name, request.id)
            state.task_ready(request)
            request.acknowledge()

    def _judge(self, request: Request, run: Run) -> Verdict:
        if self._asks_for_too_long(request):
            return Verdict.REFUSED
        try:
            return self._ask(request, run)
        except Exception as error:  # whatever it is: a request that nobody looks at again is lost
            logger.warning(
                "Task %s[%s] can't be checked before its start, waiting: %s", request.name, request.id, error
            )
            self._client = None
            return Verdict.WAIT

    def _ask(self, request: Request, run: Run) -> Verdict:
        lease = int(self.options.lease * 1000)
        redelivered = bool(request.delivery_info.get("redelivered"))
        pipe = self._redis().pipeline(transaction=False)
        pipe.set(run.mark, ledger.owner, px=lease, nx=True)
        pipe.mget(self.keys.cancelled(request.id), run.mark)
        if redelivered:
            pipe.incr(run.starts)
            pipe.expire(run.starts, STARTS_TTL)
        if ledger.awaits(tag := request.message.delivery_tag):
            pipe.zrem(self.keys.held(self.group), tag)
        mine, (cancelled, mark), *counted = pipe.execute()
        if cancelled:
            return Verdict.CANCELLED
        # The answer to an earlier SET was lost on its way.
        mine = mine or (mark == ledger.owner.encode() and all(other.mark != run.mark for other in ledger.runs()))
        if not mine and mark == DONE.encode():
            if redelivered or getattr(request, "waited", False) or request.request_dict.get(ONCE):
                return Verdict.END
            # The same id was published anew after it ended: that is the producer's to decide.
            self._redis().set(run.mark, ledger.owner, px=lease)
        elif not mine:
            if redelivered:
                self._redis().decr(run.starts)
            return Verdict.WAIT
        return Verdict.DEAD if redelivered and counted[0] > self.options.kills else Verdict.RUN

    def _asks_for_too_long(self, request: Request) -> bool:
        return bool((request.time_limits[0] or 0) > self.app.conf.task_time_limit)

    def _wait(self, request: Request, tag: str) -> None:
        # As Celery does for an eta: a waiting message takes no slot and no place in the prefetch window.
        request.waited = True
        state.task_ready(request)
        for original in tuple(state.active_requests):
            if original.id == request.id:
                # Celery keeps one request an id, and terminating looks there.
                state.requests[request.id] = original
        self.consumer.qos.increment_eventually()
        self.consumer.timer.call_after(WAIT, self._again, (request, tag, self.consumer.connection), priority=6)

    def _again(self, request: Request, tag: str, connection: Any) -> None:
        # After a reconnect the message is Redis's again, and the window is new.
        if self.consumer.connection is not connection:
            return
        self.consumer.qos.decrement_eventually()
        if not ledger.holds(tag):
            return
        state.task_reserved(request)
        self.consumer.on_task_request(request)

    def _bury(self, request: Request, reason: str) -> None:
        logger.error("Task %s[%s] goes to the dead letters: %s", request.name, request.id, reason)
        deadletter.bury(self._redis(), self.keys.dead_letters(self.group), request, self._run_of(request), reason)
        metrics.buried(request)

    def _run_of(self, request: Request) -> Run:
        # A retry and a replacement keep the id of the task.
        attempt = f"{request.request_dict.get('retries') or 0}.{request.replaced_task_nesting or 0}"
        return Run(self.keys.execution(request.id, attempt), self.keys.starts(request.id, attempt))

    def _free_slot(self) -> None:
        release = getattr(self.controller, "_quick_release", None)
        if release is not None:
            release()

    def _redis(self) -> Redis:
        if self._client is None:
            self._client = dedicated(self.app, timeout=5)
        return self._client


def _too_long(request: Request, allowed: float) -> str:
    return (
        f"{request.name} asks for a time limit of {request.time_limits[0]:g} s, and its group allows {allowed:g} s: "
        "give less, or route it to a group with a larger limit"
    )
