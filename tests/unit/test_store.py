"""The store keeps what tasks need to be repeated safely, each process on its own connection, within bounds."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app import store as module
from app.store import NEW, PAID, PAYING, READY, Item, Store, UnknownCustomer, UnknownOrder, connect, store
from scripts.ports import free_port
from tests.support.redis import RedisServer


def test_an_order_is_read_as_it_was_made(shop: Store, order: str) -> None:
    read = shop.order(order)
    assert (read.customer, read.email, read.status, read.total) == ("c-1", "jo@example.com", NEW, 0)
    assert read.items == (Item("book", 2), Item("pen", 1))
    assert abs(read.created - time.time()) < 5
    assert shop.customers() == ["c-1"]


def test_an_order_that_exists_is_not_made_again(shop: Store, order: str) -> None:
    assert not shop.create_order(order, "c-2", "eve@example.com", [])
    assert shop.order(order).customer == "c-1"
    assert shop.customers() == ["c-1"]


def test_an_order_does_not_change_the_fee_of_its_customer(shop: Store, order: str) -> None:
    shop.put_customer("c-1", "jo@example.com", 990)
    shop.create_order("o-2", "c-1", "new@example.com", [])
    customer = shop.customer("c-1")
    assert (customer.monthly_fee, customer.email) == (990, "new@example.com")


def test_unknown_ids_are_named(shop: Store) -> None:
    with pytest.raises(UnknownOrder, match="'o-404'"):
        shop.order("o-404")
    with pytest.raises(UnknownCustomer, match="'c-404'"):
        shop.customer("c-404")


def test_of_many_that_claim_a_key_one_wins_and_all_know_which(shop: Store) -> None:
    with ThreadPoolExecutor(16) as threads:
        winners = set(threads.map(lambda number: shop.claim("key", str(number), 60), range(64)))
    assert len(winners) == 1
    assert 0 < shop.redis.ttl(shop.keys.idempotency("key")) <= 60


def test_of_many_payments_of_an_order_all_may_start_and_none_after_the_end(shop: Store, order: str) -> None:
    shop.reserve(shop.order(order))
    assert all(shop.move(order, PAYING, only_from=[READY, PAYING]) for _ in range(2))
    assert shop.move(order, PAID, only_from=[PAYING], charge="ch_1")
    assert not shop.move(order, PAYING, only_from=[READY, PAYING])
    assert (shop.order(order).status, shop.order(order).charge) == (PAID, "ch_1")


def test_stock_is_taken_once_by_many_at_a_time(shop: Store, order: str) -> None:
    before = shop.stock("book")
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(lambda _: shop.reserve(shop.order(order)), range(32))) == {READY}
    assert shop.stock("book") == before - 2


def test_a_processes_child_has_a_store_and_a_connection_of_its_own(shop: Store) -> None:
    mine = shop.redis.client_id()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, f"{store() is shop} {store().redis.client_id()}".encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    same, theirs = os.read(reader, 100).decode().split()
    assert (same, int(theirs) != mine) == ("False", True)
    assert store() is shop
    assert store().redis.client_id() == mine


def test_a_task_waits_for_a_store_that_comes_back(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    patient = connect(server.url, repeats=60)
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(patient.count_orders)
        time.sleep(0.5)
        assert not answer.done()
        server.start()
        try:
            assert answer.result(timeout=20) == 0
        finally:
            server.stop()


def test_the_patient_store_waits_about_a_minute_and_the_other_not_at_all() -> None:
    assert store() is not store(patient=False)
    assert 50 <= module.PAUSE * module.REPEATS <= 70


def test_a_store_that_is_gone_is_an_error_at_once() -> None:
    start = time.monotonic()
    with pytest.raises(RedisConnectionError):
        connect(f"redis://127.0.0.1:{free_port()}/0").count_orders()
    assert time.monotonic() - start < 2


def test_a_store_that_hangs_is_an_error_within_seconds(
    shop: Store, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.5)
    hung = connect(redis_server.database(2))
    redis_server.suspend()
    try:
        start = time.monotonic()
        with pytest.raises((RedisTimeoutError, RedisConnectionError)):
            hung.count_orders()
        assert time.monotonic() - start < 3
    finally:
        redis_server.resume()


def test_a_connection_that_was_cut_is_made_anew(shop: Store) -> None:
    killer = connect(module.settings.store_url)
    shop.count_orders()
    killer.redis.client_kill_filter(_type="normal", skipme=True)
    assert shop.count_orders() == 0


def test_two_installs_share_a_redis_without_seeing_each_other(shop: Store, redis_server: RedisServer) -> None:
    one, two = (connect(redis_server.database(2), prefix) for prefix in ("one:", "two:"))
    one.create_order("o-1", "c-1", "jo@example.com", [])
    assert (one.count_orders(), two.count_orders(), shop.count_orders()) == (1, 0, 0)


def test_every_key_of_the_store_starts_alike(redis_server: RedisServer, clean_redis_url: str) -> None:
    one = connect(redis_server.database(2), "one:")
    one.create_order("o-1", "c-1", "jo@example.com", [Item("book", 1)])
    one.reserve(one.order("o-1"))
    one.record_billed("c-1", "2026-01", 1)
    one.record_sent("t-1")
    one.claim("key", "1", 60)
    one.period_of("t-1", "2026-01")
    one.record_failure("t-1", {})
    one.record_run("x", {"at": 1})
    one.put_status({})
    names = {key.decode() for key in one.redis.keys("*")}
    assert len(names) == 13
    assert all(name.startswith("one:shop:") for name in names)


def test_a_run_list_is_bounded(shop: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RUNS_KEPT", 10)
    for number in range(20):
        for _ in range(2):
            shop.record_run("x", {"number": number, "at": number})
    assert [run["number"] for run in shop.runs("x")] == list(range(10, 20))
    assert 0 < shop.redis.ttl(shop.keys.runs("x")) <= 86400
