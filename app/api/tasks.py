"""API -> records, store and broker: what the endpoints do, in the words of tasks rather than of HTTP."""

from __future__ import annotations

import logging
import uuid
from typing import Any

from celery import Celery, states

from app.api.models import Mail, NewOrder, TaskState
from app.records import Record, Records
from app.runtime.cancel import cancel, is_cancelled
from app.store import Item, Store
from app.tasks.email import send_email
from app.tasks.orders import order_flow

logger = logging.getLogger(__name__)


class UnknownTask(LookupError):
    """No record of this task exists."""


class Finished(Exception):
    """The task has ended, so it can't be cancelled."""


class Tasks:
    """Accepts, shows and cancels tasks. Methods raise kombu's, redis-py's and Celery's errors when Redis is away."""

    def __init__(self, celery: Celery, records: Records, store: Store) -> None:
        self.celery, self.records, self.store = celery, records, store

    def send_email(self, task_id: str, mail: Mail) -> None:
        """Publish the mail's task under `task_id`."""
        self.records.put([Record(task_id=task_id, steps=((task_id, send_email.name),))])
        send_email.apply_async(kwargs=mail.model_dump(), task_id=task_id)
        logger.info("Mail accepted", extra={"task_id": task_id})

    def start_order(self, order_id: str, task_id: str, order: NewOrder) -> None:
        """Store the order, then publish its flow, whose last task is `task_id`."""
        items = [Item(sku=line.sku, quantity=line.quantity) for line in order.items]
        self.store.create_order(order_id, order.customer, order.email, items)
        flow = order_flow(order_id)
        # Ids that follow from the order's, so that publishing it once more publishes nothing new.
        ids = [str(uuid.uuid5(uuid.UUID(task_id), str(step))) for step in range(len(flow.tasks) - 1)] + [task_id]
        for step, step_id in zip(flow.tasks, ids, strict=True):
            step.set(task_id=step_id)
        self.records.put([Record(task_id=task_id, steps=tuple(zip(ids, (s.task for s in flow.tasks), strict=True)))])
        # The stamp goes with every message of the flow, and the logs show it.
        flow.stamp(order_id=order_id)
        flow.apply_async()
        logger.info("Order accepted", extra={"order_id": order_id, "task_id": task_id})

    def state(self, task_id: str) -> TaskState:
        """Return where a task is. Raises UnknownTask."""
        record = self._record(task_id)
        meta = self.celery.backend.get_task_meta(task_id, cache=False)
        status: str = meta["status"]
        if status not in states.READY_STATES and self._terminable(record.steps[-1][1]):
            status = states.REVOKED if is_cancelled(self.celery, task_id) else status
        if status == states.SUCCESS:
            return TaskState(task_id=task_id, status=status, result=meta["result"])
        error = _sentence(status, meta.get("result"))
        return TaskState(task_id=task_id, status=status, error=error)

    def cancel(self, task_id: str) -> None:
        """Cancel a task and every step of it. Raises UnknownTask, and Finished when it ended by itself."""
        record = self._record(task_id)
        status = self.celery.backend.get_task_meta(task_id, cache=False)["status"]
        if status in states.READY_STATES and status != states.REVOKED:
            raise Finished(status)
        # The last first: a flow that goes on meanwhile must meet a mark.
        for step_id, name in reversed(record.steps):
            cancel(self.celery, step_id, terminate=self._terminable(name))
        logger.info("Task cancelled", extra={"task_id": task_id})

    def _record(self, task_id: str) -> Record:
        record = self.records.get(task_id)
        if record is None:
            raise UnknownTask(task_id)
        return record

    def _terminable(self, name: str) -> bool:
        # A task that this version doesn't know may be one that must not be ended in mid-run.
        return name in self.celery.tasks and bool(getattr(self.celery.tasks[name], "terminable", True))


def _sentence(status: str, error: Any) -> str | None:
    if status == states.REVOKED:
        return "The task was cancelled."
    if status != states.FAILURE:
        return None
    kind = type(error).__name__
    # The application's own errors are sentences for people; others may carry addresses, arguments or secrets.
    if type(error).__module__.startswith("app."):
        return f"{kind}: {' '.join(str(error).split())[:300]}"
    return f"The task failed with {kind}; its log has the details."
