"""Worker: where the runtime hooks into Celery's consumer. Runs at every (re)connect, after the task consumer is up."""

from __future__ import annotations

import os
import time
import uuid
from typing import Any

from celery import Celery, bootsteps
from celery.signals import worker_shutdown, worker_shutting_down
from celery.worker.consumer import Tasks
from kombu.common import ignore_errors

from app.runtime import metrics, servers
from app.runtime.clients import client_of
from app.runtime.deletion_cost import DeletionCost
from app.runtime.guard import Guard, is_ending
from app.runtime.heartbeat import INTERVAL, SOON, Heartbeat
from app.runtime.keys import EVERY_QUEUE
from app.runtime.lease import Keeper, ledger
from app.runtime.options import Options
from app.runtime.pause import paused

# Seconds between two looks of the event loop at what the renewal thread read of paused queues.
PAUSE_INTERVAL = 1.0
# The part of its time limit after which a task is near it.
NEAR = 0.8


def consumer_step(options: Options) -> type[bootsteps.StartStopStep]:
    """Return the bootstep that gives a worker of `options` its leases, guard and heartbeat."""

    class Runtime(bootsteps.StartStopStep):
        """Leases, guard, pauses and heartbeat of one worker."""

        requires = (Tasks,)

        def __init__(self, consumer: Any, **kwargs: Any) -> None:
            super().__init__(consumer, **kwargs)
            app: Celery = consumer.app
            group = options.group or EVERY_QUEUE
            ledger.lease = options.lease
            ledger.owner = f"{consumer.hostname}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
            self.keeper = Keeper(app, options, group)
            self.heartbeat = Heartbeat(app, options) if options.heartbeat_dir else None
            self._paused_here: set[str] = set()
            self._examined = False
            Guard(app, options, group).install(consumer)
            self._watch_connection(consumer)
            self._examine_server(consumer)
            worker_shutdown.connect(self._settle, weak=False)
            if self.heartbeat is not None:
                worker_shutting_down.connect(self.heartbeat.leave, weak=False)
                self.heartbeat.start()
            if options.deletion_cost:
                deletion_cost = DeletionCost(app)
                worker_shutting_down.connect(deletion_cost.leave, weak=False)
                deletion_cost.start()
            self._controller = consumer.controller
            metrics.serve_worker(app, options, group, _pool_processes(consumer.controller), self._gauges)

        def _gauges(self) -> dict[str, float | None]:
            now, runs, heartbeat = time.monotonic(), ledger.runs(), self.heartbeat
            return {
                "celery_worker_up": 1,
                "celery_worker_tasks_active": len(runs),
                "celery_worker_pool_slots": getattr(self._controller.pool, "num_processes", 0),
                "celery_worker_heartbeat_age_seconds": heartbeat.age() if heartbeat else None,
                "celery_worker_consuming": int(heartbeat.takes_work()) if heartbeat else None,
                "celery_worker_tasks_near_limit": sum(now - run.began > NEAR * run.limit > 0 for run in runs),
            }

        def _settle(self, **_: Any) -> None:
            # Leases are renewed to the end: a soft shutdown still waits for what runs.
            self.keeper.stop()

        def start(self, consumer: Any) -> None:
            ledger.connected()
            # Before the first message: a restart must not take one from a paused queue.
            self.keeper.paused = frozenset(paused(consumer.app))
            self._follow_pauses(consumer)
            if self.keeper.ident is None:
                self.keeper.start()
            consumer.timer.call_repeatedly(PAUSE_INTERVAL, self._follow_pauses, (consumer,))
            if self.heartbeat is not None:
                self.heartbeat.connected(consumer)
                consumer.timer.call_after(SOON, self.heartbeat.tick)
                consumer.timer.call_repeatedly(INTERVAL, self.heartbeat.tick)

        def stop(self, consumer: Any) -> None:
            # At a reconnect, too, where there is nothing to talk to.
            if is_ending() and consumer.task_consumer:
                # A worker may end its last task for minutes: what it would start after that, others can start now.
                ignore_errors(consumer, consumer.task_consumer.cancel)
                ignore_errors(consumer, consumer.task_consumer.channel.qos.give_back_waiting)

        def _examine_server(self, consumer: Any) -> None:
            connect = consumer.connect

            def examined() -> Any:
                connection = connect()
                if not self._examined:
                    servers.examine(client_of(connection))
                    self._examined = True
                return connection

            # Before the first key is touched: a Redis Cluster answers some with MOVED, and Celery would try for ever.
            consumer.connect = examined

        def _watch_connection(self, consumer: Any) -> None:
            for name in ("on_connection_error_after_connected", "on_connection_error_before_connected"):
                setattr(consumer, name, self._noting_loss(getattr(consumer, name)))

        def _noting_loss(self, handler: Any) -> Any:
            def noting(error: Exception) -> Any:
                ledger.reconnecting = True
                ledger.disturbed()
                if self.heartbeat is not None:
                    self.heartbeat.lost()
                return handler(error)

            return noting

        def _follow_pauses(self, consumer: Any) -> None:
            queues = consumer.app.amqp.queues
            consumed = {queue.name for queue in consumer.task_consumer.queues}
            for name in consumed & self.keeper.paused:
                self._paused_here.add(name)
                consumer.cancel_task_queue(name)
            for name in self._paused_here - self.keeper.paused:
                self._paused_here.discard(name)
                if name in queues:
                    consumer.add_task_queue(name)

    return Runtime


def _pool_processes(controller: Any) -> int:
    if not controller.pool_cls.__module__.endswith(".prefork"):
        return 0
    return int(max(controller.concurrency or 0, getattr(controller, "max_concurrency", None) or 0))
