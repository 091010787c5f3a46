"""The runtime leans on insides of kombu and Celery: each is named here, so that an upgrade that moves one fails."""

from __future__ import annotations

import inspect

import pytest
from celery.worker.consumer.consumer import Consumer
from celery.worker.request import Request
from celery.worker.worker import WorkController
from kombu.transport import TRANSPORT_ALIASES, redis, virtual
from redis import ConnectionPool

from app.runtime import transport


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (virtual.QoS, "_flush"),
        (redis.QoS, "restore_by_tag"),
        (redis.QoS, "restore_visible"),
        (redis.QoS, "restore_unacked"),
        (redis.Channel, "_basic_cancel"),
        (redis.Channel, "_brpop_read"),
        (redis.Channel, "_get_message_priority"),
        (redis.Channel, "_q_for_pri"),
        (redis.Channel, "_create_client"),
        (redis.Transport, "_reject_inbound_message"),
        (redis.Channel, "_disconnect_pools"),
        (redis.Channel, "conn_or_acquire"),
        (Consumer, "on_connection_error_after_connected"),
        (Consumer, "on_connection_error_before_connected"),
        (WorkController, "_process_task"),
        (Request, "_announce_revoked"),
    ],
)
def test_the_method_is_still_there(owner: type, name: str) -> None:
    assert callable(getattr(owner, name))


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (virtual.QoS.__init__, ("self._delivered", "self._quick_ack")),
        (redis.QoS.append, ("self.unacked_index_key", "self.unacked_key")),
        (redis.Channel._brpop_start, ("self._brpop_sent_at",)),
        (ConnectionPool.__init__, ("self._fork_lock", "self._lock")),
        (WorkController._process_task_sem, ("self._quick_acquire", "self._process_task")),
        (WorkController._process_task, ("self._quick_release",)),
        # The order of a reconnect: the connection is closed, and its messages given back, before anything restarts.
        (Consumer.on_connection_error_after_connected, ("connection.close",)),
        (Consumer.start, ("on_connection_error_after_connected", "_cancel_connection_timer_entries")),
    ],
)
def test_the_source_still_says(function: object, words: tuple[str, ...]) -> None:
    source = inspect.getsource(function)  # type: ignore[arg-type]
    assert [word for word in words if word not in source] == []


def test_redis_urls_use_the_leased_transport() -> None:
    transport.register()
    assert {TRANSPORT_ALIASES[alias].split(":")[0] for alias in ("redis", "rediss")} == {transport.__name__}
