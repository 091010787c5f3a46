"""The shop's state can be seen, and what is old and over goes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from app.store import CLOSED, NEW, PAID, PAYING, READY, REJECTED, RELEASED, TIMED_OUT, Store
from app.tasks import _files
from app.tasks.maintenance import check_status, cleanup
from tests.support.world import Outside


def test_the_status_tells_of_orders_and_failures(shop: Store, order: str) -> None:
    result = check_status.apply().get()
    assert (result["status"], result["orders"], result["failures"]) == ("ok", 1, 0)
    assert result["store_ms"] > 0
    shop.record_failure("t-1", {})
    assert check_status.apply().get()["status"] == "failing"
    assert b'"status": "failing"' in shop.redis.get(shop.keys.status)


@pytest.mark.parametrize(
    ("status", "kept"),
    [(NEW, True), (READY, True), (PAYING, True)]
    + [(over, False) for over in (PAID, CLOSED, REJECTED, TIMED_OUT, RELEASED)],
)
def test_of_the_old_orders_those_under_way_stay(
    shop: Store, sandbox: Outside, order: str, status: str, kept: bool
) -> None:
    shop.redis.hset(shop.keys.order(order), "status", status)
    assert cleanup.apply().get()["orders"] == 0
    shop.redis.zadd(shop.keys.orders, {order: time.time() - 91 * 86400})
    assert cleanup.apply().get()["orders"] == (0 if kept else 1)
    assert shop.count_orders() == shop.redis.exists(shop.keys.order(order)) == (1 if kept else 0)


def test_old_reports_and_failures_go(shop: Store, sandbox: Outside) -> None:
    old: Path = _files.write("old.csv", "")
    os.utime(old, (0, 0))
    _files.write("new.csv", "")
    shop.record_failure("t-1", {})
    shop.record_failure("t-2", {})
    shop.redis.zadd(shop.keys.failed_at, {"t-1": 0})
    assert cleanup.apply().get() == {"orders": 0, "reports": 1, "failures": 1}
    assert cleanup.apply().get() == {"orders": 0, "reports": 0, "failures": 0}
    assert shop.failure("t-1") is None
    assert shop.failure("t-2") is not None
