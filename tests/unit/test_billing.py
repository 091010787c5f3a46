"""A customer is charged once per month, and the month is the one before the publish, whenever the task runs."""

from __future__ import annotations

import base64
import calendar
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery.beat import ScheduleEntry, Scheduler
from hypothesis import given
from hypothesis import strategies as st

from app import config
from app.celery_app import app
from app.schedule import SCHEDULE
from app.store import Store, UnknownCustomer
from app.tasks import billing
from app.tasks._payments import PaymentError
from app.tasks.billing import bill_customer, combine_results, monthly_billing, previous_month
from tests.support.redis import RedisServer
from tests.support.world import Outside

SHANGHAI = ZoneInfo("Asia/Shanghai")


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))
def test_the_period_is_the_shanghai_month_that_ended_last(moment: datetime) -> None:
    year, month = map(int, previous_month(moment).split("-"))
    start = datetime(year, month, 1, tzinfo=SHANGHAI)
    end = start + timedelta(days=calendar.monthrange(year, month)[1])
    following = end + timedelta(days=calendar.monthrange(end.year, end.month)[1])
    assert end <= moment < following


@pytest.mark.parametrize(
    ("moment", "period"),
    [
        # Beat's tick on the first at 00:00 in Shanghai is still the day before in UTC.
        (datetime(2026, 12, 31, 16, 0, tzinfo=UTC), "2026-12"),
        (datetime(2026, 12, 31, 15, 59, 59, tzinfo=UTC), "2026-11"),
        (datetime(2024, 3, 1, 0, 0, tzinfo=SHANGHAI), "2024-02"),
    ],
)
def test_the_period_changes_at_midnight_in_shanghai(moment: datetime, period: str) -> None:
    assert previous_month(moment) == period


def test_a_moment_without_a_time_zone_has_no_period() -> None:
    with pytest.raises(ValueError, match="time zone"):
        previous_month(datetime(2026, 1, 1))


@pytest.fixture
def queue(shop: Store, redis_server: RedisServer) -> Iterator[Any]:
    """A function that takes the newest message from the default queue and returns its args, kwargs and headers."""
    with redis_server.client() as client:

        def take() -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
            message = json.loads(client.lpop("default"))
            args, kwargs, _ = json.loads(base64.b64decode(message["body"]))
            return args, kwargs, message["headers"]

        yield take


def at(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    monkeypatch.setattr(billing, "_now", lambda: moment)


def test_every_way_to_publish_fixes_the_period(queue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, datetime(2026, 3, 1, tzinfo=SHANGHAI))
    entry = {key: value for key, value in SCHEDULE["monthly-billing"].items() if key != "schedule"}
    scheduler = Scheduler(app, lazy=True)
    tick = ScheduleEntry(name="monthly-billing", schedule=SCHEDULE["monthly-billing"]["schedule"], app=app, **entry)
    for publish in (
        monthly_billing.delay,
        monthly_billing.apply_async,
        monthly_billing.s().apply_async,
        lambda: app.send_task("tasks.monthly_billing"),
        lambda: scheduler.apply_async(tick, advance=False),
    ):
        publish()
        args, kwargs, headers = queue()
        assert (list(args), kwargs) == ([], {"period": "2026-02"})
        assert headers["kwargsrepr"] == "{'period': '2026-02'}"


def test_beats_own_entry_is_not_changed_by_a_publish(queue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = Scheduler(app, lazy=True)
    tick = ScheduleEntry(name="x", task="tasks.monthly_billing", schedule=60.0, app=app)
    for month, period in ((3, "2026-02"), (4, "2026-03")):
        at(monkeypatch, datetime(2026, month, 1, tzinfo=SHANGHAI))
        scheduler.apply_async(tick, advance=False)
        assert queue()[1] == {"period": period}


def test_a_period_that_was_given_is_kept(queue: Any) -> None:
    monthly_billing.delay("2020-01")
    assert queue()[:2] == (["2020-01"], {})
    monthly_billing.delay(period="2020-01")
    assert queue()[:2] == ([], {"period": "2020-01"})


def test_a_foreign_message_without_a_period_keeps_the_one_of_its_first_start(
    shop: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for month in (3, 4):
        at(monkeypatch, datetime(2026, month, 1, tzinfo=SHANGHAI))
        assert monthly_billing.apply(task_id="t-1").get()["period"] == "2026-02"
    assert monthly_billing.apply(task_id="t-2").get()["period"] == "2026-03"


@pytest.mark.parametrize("period", ["2026-13", "2026-1", "26-01", "January", "2026-01-01", " 2026-01"])
def test_what_is_no_month_is_refused(shop: Store, period: str) -> None:
    with pytest.raises(ValueError, match="YYYY-MM"):
        monthly_billing.apply((period,)).get()


def test_a_customer_is_charged_once_per_month(shop: Store, sandbox: Outside) -> None:
    shop.put_customer("c-1", "jo@example.com", 990)
    for _ in range(3):
        assert bill_customer.apply(("c-1", "2026-01")).get()["amount"] == 990
    assert shop.billed("c-1", "2026-01") == 990
    bill_customer.apply(("c-1", "2026-02")).get()
    assert [charge["key"] for charge in sandbox.world.charges.values()] == ["c-1:2026-01", "c-1:2026-02"]
    # The store forgot, the gateway did not.
    shop.redis.delete(shop.keys.billed("2026-01"))
    bill_customer.apply(("c-1", "2026-01")).get()
    assert len(sandbox.world.charges) == 2


def test_a_fee_that_changes_between_two_tries_is_charged_as_it_was(shop: Store, sandbox: Outside) -> None:
    shop.put_customer("c-1", "jo@example.com", 990)
    sandbox.fail("payments", "lost", times=100)
    with pytest.raises(PaymentError):
        bill_customer.apply(("c-1", "2026-01")).get()
    sandbox.world.faults.clear()
    shop.put_customer("c-1", "jo@example.com", 1990)
    assert bill_customer.apply(("c-1", "2026-01")).get() == {
        "customer_id": "c-1",
        "status": "charged",
        "amount": 990,
    }
    assert [charge["amount"] for charge in sandbox.world.charges.values()] == [990]


def test_a_customer_without_a_fee_is_not_charged(shop: Store, sandbox: Outside) -> None:
    shop.put_customer("c-1", "jo@example.com", 0)
    assert bill_customer.apply(("c-1", "2026-01")).get()["status"] == "free"
    assert not sandbox.world.charges


def test_a_refused_customer_does_not_stop_the_sum(shop: Store, sandbox: Outside) -> None:
    shop.put_customer("c-1", "jo@example.com", 990)
    sandbox.fail("payments", 402)
    refused = bill_customer.apply(("c-1", "2026-01")).get()
    assert refused == {"customer_id": "c-1", "status": "refused", "amount": 0}
    assert combine_results.apply(([refused], "2026-01")).get()["refused"] == 1


def test_a_customer_that_does_not_exist_is_named(shop: Store) -> None:
    with pytest.raises(UnknownCustomer, match="'c-404'"):
        bill_customer.apply(("c-404", "2026-01")).get()


@given(st.lists(st.tuples(st.sampled_from(["charged", "refused", "free"]), st.integers(0, 10**6))))
def test_the_sum_counts_every_customer(rows: list[tuple[str, int]]) -> None:
    results = [{"customer_id": "c", "status": status, "amount": amount} for status, amount in rows]
    total = combine_results.run(results, "2026-01")
    assert total["total"] == sum(amount for _, amount in rows)
    assert total["charged"] + total["refused"] + total["free"] == len(rows)


@pytest.fixture
def worker(shop: Store, sandbox: Outside, redis_server: RedisServer, tmp_path: Any) -> Iterator[None]:
    """A real worker of the real application."""
    environment = {
        **os.environ,
        "CELERY_BROKER_URL": config.settings.broker_url,
        "PAYMENT_GATEWAY_URL": f"http://127.0.0.1:{sandbox.http_port}/payments",
        "CELERY_HEARTBEAT_DIR": str(tmp_path),
    }
    command = [sys.executable, "-m", "celery", "-A", "app.celery_app", "worker", "--loglevel", "info", "-c", "2"]
    with (tmp_path / "worker.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=30)


def total_of(result: dict[str, Any]) -> dict[str, Any]:
    total: dict[str, Any] = app.AsyncResult(result["total_task"]).get(timeout=30)
    return total


@pytest.mark.parametrize("customers", [0, 1, 3])
def test_a_worker_bills_every_customer_and_sums_up(shop: Store, sandbox: Outside, worker: None, customers: int) -> None:
    for number in range(customers):
        shop.put_customer(f"c-{number}", "jo@example.com", 100 + number)
    expected = sum(100 + number for number in range(customers))
    for _ in range(2):  # the parent delivered twice: two sums, one charge each
        start = time.monotonic()
        result = monthly_billing.delay("2026-01").get(timeout=30)
        assert total_of(result) == {
            "period": "2026-01",
            "charged": customers,
            "refused": 0,
            "free": 0,
            "total": expected,
        }
        assert time.monotonic() - start < 30
    assert sum(charge["amount"] for charge in sandbox.world.charges.values()) == expected
    assert len(sandbox.world.charges) == customers
