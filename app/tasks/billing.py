"""Beat -> monthly_billing -> one bill_customer each -> combine_results: what customers pay every month."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from celery import chord, group, signals

from app.celery_app import app
from app.store import BILLED_TTL, store
from app.tasks._payments import PaymentError, PaymentRefused, charge
from app.tasks.failure import on_task_failure, report_failure

logger = logging.getLogger(__name__)

_SHANGHAI = ZoneInfo("Asia/Shanghai")
_MONTHLY_BILLING = "tasks.monthly_billing"


def previous_month(moment: datetime) -> str:
    """Return the month before the Shanghai month of an aware `moment`, as YYYY-MM.

    Raises ValueError for a naive one, whose month nobody can know.
    """
    if moment.tzinfo is None:
        raise ValueError("moment has no time zone: write datetime.now(UTC) or another aware time")
    first = moment.astimezone(_SHANGHAI).replace(day=1)
    return (first - timedelta(days=1)).strftime("%Y-%m")


def _now() -> datetime:
    return datetime.now(_SHANGHAI)


@signals.before_task_publish.connect(sender=_MONTHLY_BILLING)
def _fix_period(body: Any, headers: dict[str, Any], **_: Any) -> None:
    # Every publish passes here: beat's, a delay(), a send_task() by name. A retry has its period in the message.
    args, kwargs = body[0], body[1]
    # Celery makes the dict anew when it was empty, so no caller's own is changed.
    if not args and not kwargs:
        kwargs["period"] = previous_month(_now())
        headers["kwargsrepr"] = repr(kwargs)


@app.task(name=_MONTHLY_BILLING, bind=True)
def monthly_billing(self: Any, period: str | None = None) -> dict[str, Any]:
    """Bill every customer for a month, the one before the publish unless given, once per customer and month.

    `period` is YYYY-MM in Shanghai time. Returns {"period", "customers", "total_task"}: total_task is the id of the
    tasks.combine_results that sums up. Raises ValueError for a period that is no month.
    """
    # Without a period only when another program published: then the first start fixes it for every redelivery.
    period = _checked(period) if period else store().period_of(self.request.id, previous_month(_now()))
    customers = store().customers()
    body = combine_results.s(period).on_error(on_task_failure.s()).on_error(report_failure.s())
    total = chord(group(bill_customer.si(customer, period) for customer in customers), body).apply_async()
    return {"period": period, "customers": len(customers), "total_task": total.id}


@app.task(
    name="tasks.bill_customer",
    bind=True,
    max_retries=10,
    default_retry_delay=60,
    # Ended in mid-charge, nobody would know whether the customer paid.
    terminable=False,
)
def bill_customer(self: Any, customer_id: str, period: str) -> dict[str, Any]:
    """Charge a customer's monthly fee for a month, once.

    Returns {"customer_id", "status", "amount"} with the amount in cents; the status is "charged", "free" for a
    customer without a fee, or "refused" when the gateway refuses, so that the other customers' sum is still made.
    Raises UnknownCustomer; retries on PaymentError.
    """
    amount = store().billed(customer_id, period)
    if amount is None:
        amount = store().customer(customer_id).monthly_fee
        if amount == 0:
            return {"customer_id": customer_id, "status": "free", "amount": 0}
        # The gateway refuses another amount under the same key, and a fee may change between two tries.
        amount = int(store().claim(f"fee:{customer_id}:{period}", str(amount), BILLED_TTL))
        try:
            charge(f"{customer_id}:{period}", amount, f"Fee {period}")
        except PaymentError as error:
            raise self.retry(exc=error) from None
        except PaymentRefused as error:
            logger.error("The fee of customer %s for %s was refused: %s", customer_id, period, error)
            return {"customer_id": customer_id, "status": "refused", "amount": 0}
        store().record_billed(customer_id, period, amount)
    return {"customer_id": customer_id, "status": "charged", "amount": amount}


@app.task(name="tasks.combine_results")
def combine_results(results: Sequence[dict[str, Any]], period: str) -> dict[str, Any]:
    """Sum up what bill_customer returned for a month.

    Returns {"period", "charged", "refused", "free", "total"}: numbers of customers, and the total in cents.
    """
    statuses = [result["status"] for result in results]
    counts = {status: statuses.count(status) for status in ("charged", "refused", "free")}
    return {"period": period, **counts, "total": sum(result["amount"] for result in results)}


def _checked(period: str) -> str:
    try:
        if datetime.strptime(period, "%Y-%m").strftime("%Y-%m") == period:
            return period
    except ValueError:
        pass
    raise ValueError(f"period is {period!r}: write a month as YYYY-MM, for example 2026-01")
