"""API -> `order_flow` -> process_order -> process_payment -> receipt mail: an order from its entry to its receipt."""

from __future__ import annotations

from typing import Any

from celery import chain
from celery.canvas import Signature
from celery.exceptions import SoftTimeLimitExceeded

from app.celery_app import app
from app.config import settings
from app.store import CATALOGUE, CLOSED, NEW, PAID, PAYING, READY, REJECTED, RELEASED, TIMED_OUT, Order, store
from app.tasks._payments import PaymentError, PaymentRefused, charge
from app.tasks.email import send_receipt
from app.tasks.failure import on_task_failure, report_failure

# Pieces of one article that one order may take.
MAX_QUANTITY = 1000


class OrderRejected(Exception):
    """The order can't be fulfilled; the message says why."""


class OrderNotReady(Exception):
    """The order was not processed, so there is nothing to charge."""


@app.task(
    name="tasks.process_order",
    bind=True,
    rate_limit=settings.order_rate_limit or None,
    time_limit=300,
    soft_time_limit=240,
    ignore_result=False,
)
def process_order(self: Any, order_id: str) -> dict[str, Any]:
    """Check an order, price it and take its stock.

    Returns {"order_id", "status", "total"} with the total in cents; the status is "ready", "timed_out" when the soft
    time limit came first (nothing is taken then, and the order may be processed again), or a later one when the order
    was processed before. Raises UnknownOrder and OrderRejected.
    """
    try:
        order = store().order(order_id)
        _validate(order)
        status = store().reserve(order)
    except SoftTimeLimitExceeded:
        return _time_out(order_id)
    if status == REJECTED:
        raise OrderRejected(f"order {order_id!r} asks for more than is in stock")
    return {"order_id": order_id, "status": status, "total": store().order(order_id).total}


def _validate(order: Order) -> None:
    for item in order.items:
        if item.sku not in CATALOGUE:
            known = ", ".join(sorted(CATALOGUE))
            raise _rejected(order, f"there is no article {item.sku!r}; there are {known}")
        if not 1 <= item.quantity <= MAX_QUANTITY:
            raise _rejected(order, f"{item.quantity} x {item.sku!r} is not between 1 and {MAX_QUANTITY}")
    if not order.items:
        raise _rejected(order, "it names no article")


def _rejected(order: Order, reason: str) -> OrderRejected:
    store().move(order.id, REJECTED, only_from=[NEW])
    return OrderRejected(f"order {order.id!r} is rejected: {reason}")


def _time_out(order_id: str) -> dict[str, Any]:
    # The interrupted reservation is one script in Redis: it happened or not, and `release` knows which.
    order = store().order(order_id)
    from_status = RELEASED if store().release(order) else NEW
    store().move(order_id, TIMED_OUT, only_from=[from_status])
    return {"order_id": order_id, "status": store().order(order_id).status, "total": 0}


@app.task(
    name="tasks.process_payment",
    bind=True,
    max_retries=5,
    default_retry_delay=60,
    # Ended in mid-charge, nobody would know whether the customer paid.
    terminable=False,
)
def process_payment(self: Any, order_id: str) -> dict[str, Any]:
    """Charge a processed order through the payment gateway, at most once per order.

    Returns {"order_id", "status": "paid", "charge"}. Raises UnknownOrder, OrderNotReady and PaymentRefused, which
    gives the stock back; retries on PaymentError every 60 s, and an order whose tries are used up stays "paying".
    """
    order = store().order(order_id)
    if order.status in (PAID, CLOSED):
        return {"order_id": order_id, "status": "paid", "charge": order.charge}
    if not store().move(order_id, PAYING, only_from=[READY, PAYING]):
        raise OrderNotReady(f"order {order_id!r} is {order.status}, and only a ready order can be charged")
    try:
        charge_id = charge(order_id, order.total, f"Order {order_id}")
    except PaymentError as error:
        raise self.retry(exc=error) from None
    except PaymentRefused:
        store().release(order, only_from=PAYING)
        raise
    store().move(order_id, PAID, only_from=[PAYING], charge=charge_id)
    return {"order_id": order_id, "status": "paid", "charge": charge_id}


def order_flow(order_id: str) -> Signature:
    """Return the canvas order -> payment -> receipt mail, with its failures recorded and reported.

    Publish it with `.apply_async()`; the result is the receipt's, and its parents are the payment's and the order's.
    """
    flow = chain(process_order.si(order_id), process_payment.si(order_id), send_receipt.si(order_id))
    return flow.on_error(on_task_failure.s()).on_error(report_failure.s())
