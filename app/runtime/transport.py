"""Broker <-> worker: kombu's Redis transport with leases.

The stock transport gives back what it held as soon as its connection breaks, running tasks included, and sweeps
for lapsed messages at once after an outage, before the others could renew. Both start a running task twice.
This transport keeps what runs, and sweeps only after a whole lease of undisturbed connection.

Used through the ordinary `redis://`, `rediss://` and `sentinel://` URLs once `register` was called. What it needs of
kombu's insides (`QoS._delivered`, `_flush`, `_quick_ack`, `restore_by_tag`, `Channel._create_client`) is held by
`tests/contract/test_kombu_internals.py`.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from queue import Empty
from typing import Any

from celery.utils.log import get_logger
from kombu import transport as registry
from kombu.transport import redis
from redis import ConnectionPool, Redis
from redis.exceptions import RedisError

from app.runtime import limits, servers
from app.runtime.handled import arrive
from app.runtime.lease import ledger, mark_done

logger = get_logger(__name__)

# Transport options beyond kombu's.
OPTIONS = ("held_key",)


def _eta(message: Any) -> float:
    """Return when `message` is due in unix seconds, 0 for at once; what is no time is for Celery to refuse."""
    try:
        return limits.unix_eta(message.headers.get("eta"))
    except (ValueError, TypeError, AttributeError, OverflowError):
        return 0.0


class QoS(redis.QoS):
    """What one channel holds, entered in the process's ledger so that it is renewed."""

    def append(self, message: Any, delivery_tag: str) -> None:
        """Take a message; raises redis-py's errors."""
        try:
            super().append(message, delivery_tag)
        except (ConnectionError, *self.channel.connection_errors):
            # Redis gave it away and went before that was noted: this worker alone knows of it.
            ledger.rescue(self._list_of(message), json.dumps(message._raw))
            raise
        arrive(message)
        ledger.hold(delivery_tag)
        eta = _eta(message)
        if eta > time.time():
            # Held, and no work yet: a scaler that counted it would keep a fleet for tomorrow's tasks.
            self.channel.plain_client.zadd(self.channel.held, {delivery_tag: eta})
            ledger.await_eta(delivery_tag)

    def _list_of(self, message: Any) -> str:
        priority = self.channel._get_message_priority(message._raw, reverse=False)
        name = self.channel._q_for_pri(message.delivery_info["routing_key"], priority)
        return f"{self.channel.global_keyprefix}{name}"

    def ack(self, delivery_tag: str) -> None:
        """Take an ended message out of Redis, or have it done as soon as Redis is back."""
        try:
            if self.channel.closed:
                raise ConnectionError("the channel was closed by a reconnect")
            pipe = self.channel.plain_client.pipeline()
            prefix = self.channel.global_keyprefix
            pipe.zrem(prefix + self.unacked_index_key, delivery_tag)
            pipe.hdel(prefix + self.unacked_key, delivery_tag)
            if ledger.awaits(delivery_tag):
                pipe.zrem(self.channel.held, delivery_tag)
            run = ledger.running(delivery_tag)
            if run is not None:
                mark_done(pipe, run, ledger.lease)
            pipe.execute()
        except (ConnectionError, *self.channel.connection_errors, self.channel.ResponseError):
            # Raising would end nothing and repeat a finished task: its message would come back.
            ledger.settle_later(delivery_tag)
        else:
            ledger.ended(delivery_tag)
        self._quick_ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Give a message back to its queue, or take it out of Redis as `ack` does."""
        if not requeue:
            return self.ack(delivery_tag)
        self._give_back([delivery_tag], leftmost=True)
        self._quick_ack(delivery_tag)

    def restore_unacked(self, client: Any = None) -> None:
        """Give back what this channel holds, except what runs on while the worker only reconnects."""
        self._flush()
        keep = ledger.kept_over_reconnect()
        tags = [tag for tag in self._delivered if tag not in keep]
        self._delivered.clear()
        if self.channel.connection.client is None:
            # The connection was dropped: nobody can be asked, and the leases lapse.
            for tag in tags:
                ledger.release(tag)
        else:
            self._give_back(tags)

    def give_back(self, delivery_tag: str) -> None:
        """Put a message back to where it was, the next in line; raises redis-py's errors.

        `reject` puts it last, for tasks that ask for another try.
        """
        self._give_back([delivery_tag])
        self._quick_ack(delivery_tag)

    def give_back_waiting(self) -> None:
        """Give back what this worker holds and has not started; raises redis-py's errors."""
        self._flush()
        tags = [tag for tag in self._delivered if ledger.waits(tag)]
        for tag in tags:
            self._delivered.pop(tag)
        self._give_back(tags)

    def restore_visible(self, start: int = 0, num: int | None = None, interval: int = 1) -> None:
        """Sweep for lapsed leases, once everybody had a whole lease's time to renew."""
        if ledger.undisturbed_seconds() >= self.visibility_timeout:
            super().restore_visible(start=start, num=num, interval=interval)

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:
        """Put a message, of this worker or of a dead one, back on its queue."""
        # Before, so that it is counted twice for a moment instead of not at all.
        self.channel.plain_client.zrem(self.channel.held, tag)
        super().restore_by_tag(tag, client=client, leftmost=leftmost)

    def _give_back(self, tags: list[str], leftmost: bool = False) -> None:
        # Released before Redis is asked: if that fails, the leases lapse and another worker takes the messages.
        runs = [run for run in map(ledger.release, tags) if run is not None]
        if runs:
            # A deliberate return is no death of the worker, and the next start need not wait for the mark.
            self.channel.plain_client.delete(*(key for run in runs for key in (run.mark, run.starts)))
        for tag in tags:
            self.restore_by_tag(tag, leftmost=leftmost)


class Channel(redis.Channel):
    """A channel with leases, and one client a channel instead of one a command.

    Making a client took a fifth of the main process's time on short tasks.
    """

    QoS = QoS
    from_transport_options = (*redis.Channel.from_transport_options, *OPTIONS)
    # Sorted set of what the group's workers hold until its eta.
    held_key = "eta"
    _kept_client: Any = None
    # What was last said about a connection that failed; reconnecting fails every few seconds for the same reason.
    _said = ""

    def __init__(self, connection: Any, *args: Any, **kwargs: Any) -> None:
        try:
            super().__init__(connection, *args, **kwargs)
        except (RedisError, OSError) as error:
            self._say(f"{servers.advice(error)} ({connection.client.as_uri()}: {error})")
            raise
        self._say("")

    def _basic_cancel(self, consumer_tag: str) -> Any:
        result = super()._basic_cancel(consumer_tag)
        if self._in_poll and not self.active_queues and not self._closing:
            # The BRPOP that was sent last may still be given a message. Unread, that would be in nobody's list until
            # this worker has ended its last task, and lost if the worker is killed meanwhile. The answer comes within
            # the second that a BRPOP waits, and a message without a consumer goes back.
            with suppress(Empty):
                self._brpop_read()
        return result

    @staticmethod
    def _say(sentence: str) -> None:
        if sentence and sentence != Channel._said:
            logger.error(sentence)
        Channel._said = sentence

    @contextmanager
    def conn_or_acquire(self, client: Any = None) -> Iterator[Any]:
        """Yield `client`, or the channel's own, which adds the key prefix to kombu's commands."""
        if client is None:
            if self._kept_client is None:
                self._kept_client = self._create_client()
            client = self._kept_client
        yield client

    @property
    def held(self) -> str:
        """The name of `held_key` in Redis."""
        return f"{self.global_keyprefix}{self.held_key}"

    @cached_property
    def plain_client(self) -> Redis:
        """A client that adds no prefix: the runtime's own keys have it."""
        return Redis(connection_pool=self.pool)

    def _after_fork(self) -> None:
        # A thread of the parent may have held a lock at the fork; in the child nobody would ever free it, and the
        # child would hang before its first task (seen once in several starts).
        for pool in self._pools():
            pool._lock, pool._fork_lock = threading.RLock(), threading.Lock()  # type: ignore[assignment]
        super()._after_fork()

    def _pools(self) -> list[ConnectionPool]:
        managers = [manager for manager in (self._sentinel_manager, self._async_sentinel_manager) if manager]
        sentinels = [client.connection_pool for manager in managers for client in manager.sentinels]
        return [pool for pool in (self._pool, self._async_pool, *sentinels) if pool is not None]

    def _disconnect_pools(self) -> None:
        self._kept_client = None
        self.__dict__.pop("plain_client", None)
        super()._disconnect_pools()


class Transport(redis.Transport):
    """`redis://` and `rediss://` with leases."""

    Channel = Channel

    def _reject_inbound_message(self, raw_message: dict[str, Any]) -> None:
        for channel in self.channels:
            message = channel.Message(raw_message, channel=channel)
            channel.qos.append(message, message.delivery_tag)
            channel.qos.give_back(message.delivery_tag)
            break


class SentinelChannel(Channel, redis.SentinelChannel):
    """A channel to the master that Sentinels name."""

    from_transport_options = (*redis.SentinelChannel.from_transport_options, *OPTIONS)

    def _sentinel_managed_pool(self, asynchronous: bool = False) -> Any:
        pool = super()._sentinel_managed_pool(asynchronous)
        for sentinel in pool.sentinel_manager.sentinels:
            # The next Sentinel answers sooner than this one after pauses of seconds.
            sentinel.set_retry(servers.once())
        return pool


class SentinelTransport(Transport, redis.SentinelTransport):
    """`sentinel://` with leases."""

    Channel = SentinelChannel
    default_port = redis.SentinelTransport.default_port


def abandon(message: Any, forgiven: bool) -> None:
    """Leave `message` where it is, unrenewed: whoever finds its lease lapsed runs it again.

    forgiven: this start does not count towards the dead letters.
    """
    run = ledger.release(message.delivery_tag)
    if run is not None and forgiven:
        ledger.forgive(run)
    message.channel.qos._quick_ack(message.delivery_tag)


def register() -> None:
    """Make kombu use this transport for Redis URLs in this process."""
    for alias, transport in (("redis", Transport), ("rediss", Transport), ("sentinel", SentinelTransport)):
        registry.TRANSPORT_ALIASES[alias] = f"{__name__}:{transport.__name__}"
        registry._transport_cache.pop(alias, None)


__all__ = ["Channel", "QoS", "SentinelChannel", "SentinelTransport", "Transport", "abandon", "register"]
