"""Runtime -> broker: Redis clients made by kombu, so that TLS, Sentinel, and users are as for Celery."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from celery import Celery
from kombu import Connection
from kombu.exceptions import OperationalError
from redis import Redis

# No process is forked while a thread connects: the child would have OpenSSL's locks as they are then, and wait for
# them for ever at its own first connection. The price: a fork is late by a connection's timeout when Redis hangs.
_connecting = threading.Lock()
os.register_at_fork(before=_connecting.acquire, after_in_parent=_connecting.release, after_in_child=_connecting.release)


def dedicated(app: Celery, timeout: float) -> Redis:
    """Return a client with connections of its own, whose commands end within `timeout` seconds.

    Raises redis-py's errors, or ConnectionError when the broker can't be reached.
    """
    options = {
        **app.conf.broker_transport_options,
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        # Kombu otherwise connects again and again, with pauses.
        "max_retries": 1,
        "interval_start": 0,
    }
    connection = app.connection_for_read(transport_options=options)
    try:
        with _connecting:
            client = client_of(connection)
    except OperationalError as error:
        raise ConnectionError(str(error)) from error
    # The pool belongs to the channel, and the channel to the connection: they live as long as the client.
    client.kombu_connection = connection  # type: ignore[attr-defined]
    return client


@contextmanager
def pooled(app: Celery) -> Iterator[Redis]:
    """Yield a client on one of the application's pooled connections, with the application's own timeouts."""
    with app.pool.acquire(block=True) as connection:
        yield client_of(connection)


def client_of(connection: Connection) -> Redis:
    """Return a client on the connections of `connection`. Raises kombu's errors when it can't be established."""
    # A plain client: kombu's own prefixes only the commands that kombu uses. `Keys` has the prefix.
    return Redis(connection_pool=connection.default_channel.pool)
