"""Beat -> store and report files: looking after the shop."""

from __future__ import annotations

import time
from typing import Any

from app.celery_app import app
from app.store import DAY, store
from app.tasks._files import remove_older

ORDERS_KEPT_DAYS = 90
REPORTS_KEPT_DAYS = 30
FAILURES_KEPT_DAYS = 30


@app.task(name="tasks.check_status")
def check_status() -> dict[str, Any]:
    """Look whether the store answers, how fast, and what failed in the last hour.

    Returns {"status", "store_ms", "orders", "failures"}: "ok", or "failing" when a task failed for good in that hour.
    Raises redis-py's errors when the store does not answer.
    """
    # The question is how it is now; a patient store would answer how it is in a minute.
    impatient = store(patient=False)
    start = time.perf_counter()
    orders = impatient.count_orders()
    elapsed = round((time.perf_counter() - start) * 1000, 2)
    failures = impatient.failures_since(time.time() - 3600)
    result = {"status": "failing" if failures else "ok", "store_ms": elapsed, "orders": orders, "failures": failures}
    impatient.put_status({**result, "at": time.time()})
    return result


@app.task(name="tasks.cleanup")
def cleanup() -> dict[str, int]:
    """Remove orders that ended over 90 days ago, and reports and failures over 30 days old.

    Returns {"orders", "reports", "failures"}: how many of each were removed.
    """
    now = time.time()
    return {
        "orders": store().remove_orders(now - ORDERS_KEPT_DAYS * DAY),
        "reports": remove_older(now - REPORTS_KEPT_DAYS * DAY),
        "failures": store().remove_failures(now - FAILURES_KEPT_DAYS * DAY),
    }
