"""Promise: lapsed messages are swept only after a lease of undisturbed connection; a fork meets no locked pool."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import pytest
from billiard.context import Process
from celery import Celery
from kombu import Queue
from redis import Redis

from app.runtime import Options, install
from app.runtime.lease import ledger
from app.runtime.transport import QoS

LEASE = 3.0


@pytest.fixture
def qos(clean_redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[QoS]:
    """A consumer's view of a group whose dead worker left one message, its lease lapsed long ago."""
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)
    app = Celery("transport", broker=clean_redis_url, set_as_current=False)
    app.conf.update(task_queues=(Queue("work"),), task_time_limit=60)
    install(app, Options(group="bench", queues=("work",), lease=LEASE))
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        Queue("work")(channel).declare()
        message = {"headers": {}, "properties": {"delivery_info": {}, "delivery_tag": "left"}, "body": ""}
        channel.plain_client.hset("unacked:bench", "left", json.dumps([message, "", "work"]))
        channel.plain_client.zadd("unacked_index:bench", {"left": time.time() - 100 * LEASE})
        yield channel.qos
    ledger.disturbed()


def swept(qos: QoS, redis_url: str) -> bool:
    qos.restore_visible(num=None, interval=1)
    client = Redis.from_url(redis_url)
    return bool(client.llen("work")) and not client.hlen("unacked:bench")


def test_a_child_forked_while_a_thread_uses_the_connections_gets_through(qos: QoS) -> None:
    held, forked = threading.Event(), threading.Event()

    def use() -> None:
        with qos.channel.pool._lock:
            held.set()
            forked.wait(10)

    threading.Thread(target=use, daemon=True).start()
    assert held.wait(10)
    child = Process(target=qos.channel.plain_client.ping)
    child.start()
    forked.set()
    child.join(10)
    hangs = child.is_alive()
    if hangs:
        child.terminate()
    assert not hangs
    assert child.exitcode == 0


def test_nothing_is_swept_before_the_worker_is_connected(qos: QoS, clean_redis_url: str) -> None:
    ledger.disturbed()
    assert not swept(qos, clean_redis_url)


def test_a_sweep_waits_for_one_lease_after_the_connection(qos: QoS, clean_redis_url: str) -> None:
    ledger.connected()
    began = time.monotonic()
    while not swept(qos, clean_redis_url):
        assert time.monotonic() - began < 3 * LEASE
        time.sleep(0.1)
    assert time.monotonic() - began >= LEASE


def test_a_failed_renewal_puts_the_sweep_off(qos: QoS, clean_redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.connected()
    later = time.monotonic() + 2 * LEASE
    monkeypatch.setattr(time, "monotonic", lambda: later)
    ledger.stumbled()
    assert not swept(qos, clean_redis_url)
    monkeypatch.setattr(time, "monotonic", lambda: later + LEASE)
    assert swept(qos, clean_redis_url)
