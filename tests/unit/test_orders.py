"""An order goes from its entry to its receipt, is charged at most once, and gives its stock back when it can't."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import pytest
from billiard import pool
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.celery_app import app
from app.config import settings
from app.store import CATALOGUE, CLOSED, PAID, PAYING, READY, REJECTED, RELEASED, TIMED_OUT, Item, Store, UnknownOrder
from app.tasks._payments import PaymentError, PaymentRefused
from app.tasks.high_priority import UnknownArticle, check_stock, release_order
from app.tasks.orders import OrderNotReady, OrderRejected, order_flow, process_order, process_payment
from tests.support.world import Outside


def test_processing_an_order_prices_it_and_takes_its_stock_once(shop: Store, order: str) -> None:
    before = shop.stock("book")
    for _ in range(3):
        result = process_order.apply((order,)).get()
        assert result == {"order_id": order, "status": READY, "total": 5300}
    assert shop.stock("book") == before - 2


def test_process_order_has_the_options_promised() -> None:
    assert process_order.rate_limit == (settings.order_rate_limit or None)
    assert (process_order.time_limit, process_order.soft_time_limit) == (300, 240)
    assert process_order.ignore_result is False


def test_an_order_that_nobody_made_is_named(shop: Store) -> None:
    with pytest.raises(UnknownOrder, match="'o-404' does not exist"):
        process_order.apply(("o-404",)).get()


@pytest.mark.parametrize(
    ("items", "reason"),
    [
        ([], "no article"),
        ([Item("spoon", 1)], "no article 'spoon'"),
        ([Item("book", 0)], "not between 1 and 1000"),
        ([Item("book", -5)], "not between 1 and 1000"),
        ([Item("book", 1001)], "not between 1 and 1000"),
    ],
)
def test_an_order_that_makes_no_sense_is_rejected(shop: Store, items: list[Item], reason: str) -> None:
    shop.create_order("o-1", "c-1", "jo@example.com", items)
    with pytest.raises(OrderRejected, match=reason):
        process_order.apply(("o-1",)).get()
    assert shop.order("o-1").status == REJECTED


def test_an_order_that_is_short_of_one_article_takes_none(shop: Store) -> None:
    shop.redis.hset(shop.keys.stock, mapping={"book": 5, "lamp": 1})
    # One article on two lines: each line alone would do.
    shop.create_order("o-1", "c-1", "jo@example.com", [Item("book", 1), Item("lamp", 1), Item("lamp", 1)])
    with pytest.raises(OrderRejected, match="in stock"):
        process_order.apply(("o-1",)).get()
    assert (shop.stock("book"), shop.stock("lamp")) == (5, 1)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(CATALOGUE)), st.integers(1, 9)), min_size=1, max_size=6))
def test_stock_is_never_negative_and_comes_back_whole(shop: Store, lines: list[tuple[str, int]]) -> None:
    shop.redis.flushdb()
    shop.redis.hset(shop.keys.stock, mapping=dict.fromkeys(CATALOGUE, 10))
    for number in range(3):
        shop.create_order(f"o-{number}", "c-1", "jo@example.com", [Item(*line) for line in lines])
        process_order.apply((f"o-{number}",))
        assert all(shop.stock(sku) >= 0 for sku in CATALOGUE)
    for number in range(3):
        for _ in range(2):
            release_order.apply((f"o-{number}",)).get()
    assert [shop.stock(sku) for sku in CATALOGUE] == [10] * len(CATALOGUE)


def test_the_soft_time_limit_ends_an_order_cleanly(shop: Store, order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = shop.stock("book")
    previous = signal.signal(signal.SIGUSR1, pool.soft_timeout_sighandler)
    # Redis holds the task's first write back, and the signal of the pool's soft limit comes meanwhile.
    shop.redis.client_pause(1500, all=False)
    timer = threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    try:
        result = process_order.apply((order,)).get()
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, previous)
    assert result == {"order_id": order, "status": TIMED_OUT, "total": 0}
    assert shop.order(order).status == TIMED_OUT
    assert shop.stock("book") == before
    with pytest.raises(OrderNotReady):
        process_payment.apply((order,)).get()
    assert process_order.apply((order,)).get()["status"] == READY


def test_a_ready_order_is_charged_once_however_often_it_is_redelivered(
    shop: Store, sandbox: Outside, order: str
) -> None:
    process_order.apply((order,)).get()
    for _ in range(3):
        result = process_payment.apply((order,)).get()
        assert result == {"order_id": order, "status": "paid", "charge": "ch_o-1"}
    assert [(charge["key"], charge["amount"]) for charge in sandbox.world.charges.values()] == [("o-1", 5300)]


def test_a_charge_whose_answer_was_lost_is_not_made_again(shop: Store, sandbox: Outside, order: str) -> None:
    process_order.apply((order,)).get()
    sandbox.fail("payments", "lost", times=2)
    assert process_payment.apply((order,)).get()["status"] == "paid"
    assert list(sandbox.world.charges) == ["o-1"]


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429, 409])
def test_a_gateway_in_trouble_is_asked_again(shop: Store, sandbox: Outside, order: str, status: int) -> None:
    process_order.apply((order,)).get()
    sandbox.fail("payments", status, times=2)
    assert process_payment.apply((order,)).get()["status"] == "paid"


def test_a_gateway_that_stays_in_trouble_leaves_the_order_in_doubt(shop: Store, sandbox: Outside, order: str) -> None:
    assert (process_payment.max_retries, process_payment.default_retry_delay) == (5, 60)
    process_order.apply((order,)).get()
    sandbox.fail("payments", 503, times=100)
    with pytest.raises(PaymentError, match="503"):
        process_payment.apply((order,)).get()
    assert sandbox.world.faults["payments"].times == 94
    assert shop.order(order).status == PAYING
    # Its stock stays taken: it may have been charged.
    assert release_order.apply((order,)).get()["status"] == PAYING


def test_no_gateway_counts_as_trouble(shop: Store, sandbox: Outside, order: str, configure: Any) -> None:
    process_order.apply((order,)).get()
    configure(payment_url="http://127.0.0.1:1/payments")
    with pytest.raises(PaymentError, match="can't be reached"):
        process_payment.apply((order,)).get()


def test_a_gateway_that_does_not_answer_counts_as_trouble(
    shop: Store, sandbox: Outside, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.tasks._http.TIMEOUT", 0.2)
    process_order.apply((order,)).get()
    sandbox.fail("payments", "timeout")
    assert process_payment.apply((order,)).get()["status"] == "paid"


def test_a_refused_payment_fails_at_once_and_gives_the_stock_back(shop: Store, sandbox: Outside, order: str) -> None:
    before = shop.stock("book")
    process_order.apply((order,)).get()
    sandbox.fail("payments", 402, times=100)
    with pytest.raises(PaymentRefused, match="402"):
        process_payment.apply((order,)).get()
    assert sandbox.world.faults["payments"].times == 99
    assert (shop.order(order).status, shop.stock("book")) == (RELEASED, before)


def test_an_order_that_was_not_processed_is_not_charged(shop: Store, sandbox: Outside, order: str) -> None:
    with pytest.raises(OrderNotReady, match="is new"):
        process_payment.apply((order,)).get()
    assert not sandbox.world.charges


def test_a_payment_is_not_to_be_terminated() -> None:
    app.loader.import_default_modules()
    payments = {name for name, task in app.tasks.items() if getattr(task, "terminable", True) is False}
    assert payments == {"tasks.process_payment", "tasks.bill_customer"}


def test_the_flow_ends_with_one_charge_and_one_receipt(shop: Store, sandbox: Outside, order: str) -> None:
    for _ in range(2):
        assert order_flow(order).apply().get() == {"status": "sent", "order_id": order}
    assert shop.order(order).status == CLOSED
    assert len(sandbox.world.charges) == 1
    (mail,) = sandbox.world.mails
    assert (mail["to"], mail["subject"]) == (["jo@example.com"], "Receipt for order o-1")
    assert "2 x book" in mail["body"]
    assert "53.00" in mail["body"]


def test_each_step_of_the_flow_has_both_errbacks(order: str) -> None:
    flow = order_flow(order)
    assert [task.task for task in flow.tasks] == [
        "tasks.process_order",
        "tasks.process_payment",
        "tasks.email.send_receipt",
    ]
    errbacks = [errback["task"] for errback in flow.options["link_error"]]
    assert errbacks == ["tasks.on_task_failure", "tasks.report_failure"]


def test_a_failure_in_the_flow_is_recorded_and_reported(shop: Store, sandbox: Outside, order: str) -> None:
    sandbox.fail("payments", 402)
    with pytest.raises(PaymentRefused):
        order_flow(order).apply()
    assert shop.failures_since(0) == 1
    (told,) = sandbox.world.notifications
    assert told["user_id"] == "operators"
    assert "tasks.process_payment" in told["message"]
    assert "402" in told["message"]
    assert not sandbox.world.mails


def test_the_stock_of_an_article_can_be_looked_up(shop: Store) -> None:
    assert check_stock.apply(("pen",)).get() == {"sku": "pen", "price": 300, "stock": 1_000_000}
    with pytest.raises(UnknownArticle, match="book, lamp, pen"):
        check_stock.apply(("spoon",)).get()


def test_a_paid_order_keeps_its_stock(shop: Store, sandbox: Outside, order: str) -> None:
    process_order.apply((order,)).get()
    process_payment.apply((order,)).get()
    assert release_order.apply((order,)).get()["status"] == PAID
