"""API and tasks -> Redis: the example's small domain store, so that messages carry ids and not objects.

Orders, customers, stock and the marks that make tasks safe to repeat. Everything that grows has a bound:
marks expire, failures are trimmed, and `tasks.cleanup` removes orders that ended long ago.
Money is whole cents. Times are seconds since 1970.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from redis import Redis
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from app import client
from app.config import settings
from app.runtime import servers
from app.runtime.servers import Access

DAY = 86400
# A mail may be repeated by whatever brings its message back, and the longest eta a producer may ask for is 31 days.
SENT_TTL = 32 * DAY
# A billing message redelivered after this would charge again if the gateway had forgotten its key, too.
BILLED_TTL = 400 * DAY
# A task's own period outlives each of its redeliveries.
PERIOD_TTL = 62 * DAY
# The newest failures are kept for people to look at.
FAILURES_KEPT = 1000
# Starts and ends that fault tests record, per name.
RUNS_KEPT, RUNS_TTL = 10_000, DAY
# Seconds that one command may take: a hung Redis must not hold a task until its time limit.
TIMEOUT = 5.0
# A Redis that restarts or fails over is back within a minute; tasks wait that long in place.
PAUSE, REPEATS = 1.0, 60

# The catalogue of the example shop: price in cents, and the stock it starts with.
CATALOGUE: dict[str, tuple[int, int]] = {
    "book": (2500, 100_000),
    "pen": (300, 1_000_000),
    "lamp": (4900, 10_000),
}

# new -> ready (priced, stock taken) -> paying -> paid -> closed (receipt sent). An order that stays in `paying`
# may have been charged: only a person or another try of the payment moves it on.
NEW, READY, PAYING, PAID, CLOSED = "new", "ready", "paying", "paid", "closed"
REJECTED, TIMED_OUT, RELEASED = "rejected", "timed_out", "released"


class UnknownOrder(LookupError):
    """No order has this id."""


class UnknownCustomer(LookupError):
    """No customer has this id."""


class Keys:
    """Every key of the store, in one place."""

    def __init__(self, prefix: str) -> None:
        self.root = f"{prefix}shop:"
        self.orders = f"{self.root}orders"  # sorted set: order id by time of creation
        self.customers = f"{self.root}customers"  # set of customer ids
        self.stock = f"{self.root}stock"  # hash: article -> pieces left
        self.failures = f"{self.root}failures"  # hash: task id -> failure as JSON
        self.failed_at = f"{self.root}failed-at"  # sorted set: task id by time of failure
        self.status = f"{self.root}status"  # string: the last tasks.check_status as JSON

    def order(self, order_id: str) -> str:
        return f"{self.root}order:{order_id}"

    def customer(self, customer_id: str) -> str:
        return f"{self.root}customer:{customer_id}"

    def sent(self, key: str) -> str:
        return f"{self.root}sent:{key}"

    def billed(self, period: str) -> str:
        return f"{self.root}billed:{period}"

    def period(self, task_id: str) -> str:
        return f"{self.root}period:{task_id}"

    def idempotency(self, key: str) -> str:
        return f"{self.root}idempotency:{key}"

    def runs(self, name: str) -> str:
        return f"{self.root}runs:{name}"


@dataclass(frozen=True, slots=True)
class Item:
    """One line of an order: an article of the catalogue and how many of it."""

    sku: str
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order as stored; `total` is cents and 0 until the order is processed, `created` is a time."""

    id: str
    customer: str
    email: str
    items: tuple[Item, ...]
    status: str
    total: int
    charge: str
    created: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """A customer as stored; `monthly_fee` is cents."""

    id: str
    email: str
    monthly_fee: int


# Stores an order and its customer, all or nothing, once. Returns whether it did.
_CREATE = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'status', 'new', 'total', 0, 'charge', '',
  'customer', ARGV[2], 'email', ARGV[3], 'items', ARGV[4], 'created', ARGV[5])
redis.call('ZADD', KEYS[2], ARGV[5], ARGV[1])
redis.call('SADD', KEYS[3], ARGV[2])
redis.call('HSET', KEYS[4], 'email', ARGV[3])
return 1
"""

# Takes the stock of an order, all lines or none, once. Returns the status that the order has then.
_RESERVE = """
local status = redis.call('HGET', KEYS[1], 'status')
if status ~= 'new' and status ~= 'timed_out' then return status or 'unknown' end
for i = 2, #ARGV, 3 do
  redis.call('HSETNX', KEYS[2], ARGV[i], ARGV[i + 2])
  if tonumber(redis.call('HGET', KEYS[2], ARGV[i])) < tonumber(ARGV[i + 1]) then
    redis.call('HSET', KEYS[1], 'status', 'rejected')
    return 'rejected'
  end
end
for i = 2, #ARGV, 3 do redis.call('HINCRBY', KEYS[2], ARGV[i], -ARGV[i + 1]) end
redis.call('HSET', KEYS[1], 'status', 'ready', 'total', ARGV[1])
return 'ready'
"""

# Gives the stock of an order back if it has the status given, once. Returns whether it did.
_RELEASE = """
if redis.call('HGET', KEYS[1], 'status') ~= ARGV[1] then return 0 end
for i = 2, #ARGV, 2 do redis.call('HINCRBY', KEYS[2], ARGV[i], ARGV[i + 1]) end
redis.call('HSET', KEYS[1], 'status', 'released')
return 1
"""

# Changes an order's status only from the statuses given. Returns whether it did.
_MOVE = """
local status = redis.call('HGET', KEYS[1], 'status')
for i = 3, #ARGV do
  if status == ARGV[i] then
    redis.call('HSET', KEYS[1], 'status', ARGV[1])
    if ARGV[2] ~= '' then redis.call('HSET', KEYS[1], 'charge', ARGV[2]) end
    return 1
  end
end
return 0
"""


def remember_first(redis: Redis, key: str, value: str, ttl: int) -> Any:
    """Set `key` for `ttl` seconds unless it is set; return what it holds then. Redis before 7.0 has no SET NX GET."""
    pipe = redis.pipeline(transaction=False)
    pipe.set(key, value, nx=True, ex=ttl)
    pipe.get(key)
    return pipe.execute()[1]


class Store:
    """The domain store on one Redis client. Every method raises redis-py's errors when Redis can't be reached."""

    def __init__(self, client: Redis, prefix: str = "") -> None:
        self.redis = client
        self.keys = Keys(prefix)

    # Orders

    def create_order(self, order_id: str, customer_id: str, email: str, items: Sequence[Item]) -> bool:
        """Store a new order and its customer; return False, changing nothing, when the order exists."""
        keys = [self.keys.order(order_id), self.keys.orders, self.keys.customers, self.keys.customer(customer_id)]
        lines = json.dumps([asdict(item) for item in items])
        script = self.redis.register_script(_CREATE)
        return bool(script(keys=keys, args=[order_id, customer_id, email, lines, time.time()]))

    def order(self, order_id: str) -> Order:
        """Return the order. Raises UnknownOrder when there is none."""
        (order,) = self._read_orders([order_id]) or (None,)
        if order is None:
            raise UnknownOrder(f"order {order_id!r} does not exist; create it with POST /orders")
        return order

    def orders_between(self, start: float, end: float) -> list[Order]:
        """Return the orders created from `start` up to, not including, `end`, oldest first."""
        return self._read_orders(_texts(self.redis.zrange(self.keys.orders, start, f"({end}", byscore=True)))

    def reserve(self, order: Order) -> str:
        """Price the order and take its stock, once.

        Returns READY; the status that the order had, when it is past that; REJECTED when an article is short.
        """
        arguments: list[str | int] = [sum(CATALOGUE[item.sku][0] * item.quantity for item in order.items)]
        for sku, quantity in _pieces(order).items():
            arguments += [sku, quantity, CATALOGUE[sku][1]]
        keys = [self.keys.order(order.id), self.keys.stock]
        return _text(self.redis.register_script(_RESERVE)(keys=keys, args=arguments))

    def release(self, order: Order, *, only_from: str = READY) -> bool:
        """Give the stock of an order with that status back, once; return whether this call did."""
        arguments = [only_from, *(value for line in _pieces(order).items() for value in line)]
        keys = [self.keys.order(order.id), self.keys.stock]
        return bool(self.redis.register_script(_RELEASE)(keys=keys, args=arguments))

    def move(self, order_id: str, status: str, *, only_from: Iterable[str], charge: str = "") -> bool:
        """Give the order `status` if it has one of `only_from`; return whether this call did."""
        script = self.redis.register_script(_MOVE)
        return bool(script(keys=[self.keys.order(order_id)], args=[status, charge, *only_from]))

    def remove_orders(self, before: float) -> int:
        """Remove the orders created before a time that are not under way; return how many."""
        ids = _texts(self.redis.zrange(self.keys.orders, "-inf", f"({before}", byscore=True))
        over = [order.id for order in self._read_orders(ids) if order.status not in (NEW, READY, PAYING)]
        for batch in _batches(over):
            self.redis.delete(*map(self.keys.order, batch))
            self.redis.zrem(self.keys.orders, *batch)
        return len(over)

    def count_orders(self) -> int:
        """Return how many orders are stored."""
        return int(self.redis.zcard(self.keys.orders))

    def stock(self, sku: str) -> int:
        """Return how many pieces of an article of the catalogue are left."""
        left = self.redis.hget(self.keys.stock, sku)
        return CATALOGUE[sku][1] if left is None else int(left)

    def _read_orders(self, ids: Iterable[str]) -> list[Order]:
        found: list[Order] = []
        for batch in _batches(list(ids)):
            pipe = self.redis.pipeline(transaction=False)
            for order_id in batch:
                pipe.hgetall(self.keys.order(order_id))
            found += [_order(order_id, row) for order_id, row in zip(batch, pipe.execute(), strict=True) if row]
        return found

    # Customers and billing

    def put_customer(self, customer_id: str, email: str, monthly_fee: int) -> None:
        """Store a customer who is billed `monthly_fee` cents a month, over what was stored before."""
        pipe = self.redis.pipeline()
        pipe.hset(self.keys.customer(customer_id), mapping={"email": email, "monthly_fee": monthly_fee})
        pipe.sadd(self.keys.customers, customer_id)
        pipe.execute()

    def customer(self, customer_id: str) -> Customer:
        """Return the customer. Raises UnknownCustomer when there is none."""
        row = self.redis.hgetall(self.keys.customer(customer_id))
        if not row:
            raise UnknownCustomer(f"customer {customer_id!r} does not exist; an order of theirs creates them")
        fields = _decoded(row)
        return Customer(id=customer_id, email=fields["email"], monthly_fee=int(fields.get("monthly_fee", 0)))

    def customers(self) -> list[str]:
        """Return the ids of every customer, sorted."""
        return sorted(_texts(self.redis.smembers(self.keys.customers)))

    def billed(self, customer_id: str, period: str) -> int | None:
        """Return the cents that a customer was charged for a period; None when they were not."""
        amount = self.redis.hget(self.keys.billed(period), customer_id)
        return None if amount is None else int(amount)

    def record_billed(self, customer_id: str, period: str, amount: int) -> None:
        """Remember that a customer was charged `amount` cents for a period."""
        pipe = self.redis.pipeline()
        pipe.hset(self.keys.billed(period), customer_id, amount)
        pipe.expire(self.keys.billed(period), BILLED_TTL)
        pipe.execute()

    def period_of(self, task_id: str, proposed: str) -> str:
        """Return the period that a task without one first proposed; redelivered later, it still gets that one."""
        return _text(remember_first(self.redis, self.keys.period(task_id), proposed, PERIOD_TTL))

    # Marks

    def was_sent(self, key: str) -> bool:
        """Return whether the mail with this key was accepted by a server."""
        return bool(self.redis.exists(self.keys.sent(key)))

    def record_sent(self, key: str) -> None:
        """Remember for SENT_TTL that the mail with this key was accepted by a server."""
        self.redis.set(self.keys.sent(key), 1, ex=SENT_TTL)

    def claim(self, key: str, value: str, ttl: int) -> str:
        """Remember `value` under an idempotency key for `ttl` seconds; return what was remembered first."""
        return _text(remember_first(self.redis, self.keys.idempotency(key), value, ttl))

    # What people look at

    def record_failure(self, task_id: str, failure: Mapping[str, Any]) -> None:
        """Keep a task's failure among the newest FAILURES_KEPT; a second call for a task replaces the first."""
        pipe = self.redis.pipeline()
        pipe.hset(self.keys.failures, task_id, json.dumps(failure))
        pipe.zadd(self.keys.failed_at, {task_id: time.time()})
        pipe.zrange(self.keys.failed_at, 0, -FAILURES_KEPT - 1)
        self._forget_failures(pipe.execute()[-1])

    def failure(self, task_id: str) -> dict[str, Any] | None:
        """Return what record_failure kept for a task, or None."""
        text = self.redis.hget(self.keys.failures, task_id)
        return None if text is None else dict(json.loads(text))

    def failures_since(self, moment: float) -> int:
        """Return how many tasks failed at or after a time."""
        return int(self.redis.zcount(self.keys.failed_at, moment, "+inf"))

    def remove_failures(self, before: float) -> int:
        """Remove the failures before a time; return how many."""
        return self._forget_failures(self.redis.zrange(self.keys.failed_at, "-inf", f"({before}", byscore=True))

    def _forget_failures(self, ids: Sequence[Any]) -> int:
        for batch in _batches(ids):
            pipe = self.redis.pipeline()
            pipe.hdel(self.keys.failures, *batch)
            pipe.zrem(self.keys.failed_at, *batch)
            pipe.execute()
        return len(ids)

    def put_status(self, status: Mapping[str, Any]) -> None:
        """Keep the newest tasks.check_status."""
        self.redis.set(self.keys.status, json.dumps(status))

    def record_run(self, name: str, event: Mapping[str, Any]) -> None:
        """Add an event with its time `at` to the named ones of a fault test; kept for RUNS_TTL, at most RUNS_KEPT.

        A repeat after a lost answer adds nothing: the same event is the same member.
        """
        pipe = self.redis.pipeline()
        pipe.zadd(self.keys.runs(name), {json.dumps(event): event["at"]})
        pipe.zremrangebyrank(self.keys.runs(name), 0, -RUNS_KEPT - 1)
        pipe.expire(self.keys.runs(name), RUNS_TTL)
        pipe.execute()

    def runs(self, name: str) -> list[dict[str, Any]]:
        """Return the events of record_run, oldest first."""
        return [json.loads(text) for text in _texts(self.redis.zrange(self.keys.runs(name), 0, -1))]


def connect(url: str, prefix: str = "", *, access: Access | None = None, repeats: int = 0) -> Store:
    """Return a store on the Redis that `url` and `access` name. Connects on first use.

    Each command ends within TIMEOUT seconds. One that gets no answer is repeated up to `repeats` times, PAUSE seconds
    apart, then raises.
    """
    retry = Retry(ConstantBackoff(PAUSE), repeats, supported_errors=(RedisConnectionError, RedisTimeoutError))
    redis = servers.connect(
        url,
        access or Access(),
        socket_timeout=TIMEOUT,
        socket_connect_timeout=TIMEOUT,
        socket_keepalive=True,
        health_check_interval=25,
        # redis-py's own default (three repeats with backoff) is too long for some callers and too short for others.
        retry=retry,
    )
    return Store(redis, prefix)


_stores: dict[tuple[int, bool], Store] = {}


def store(*, patient: bool = True) -> Store:
    """Return this process's store; a forked child gets one of its own.

    The patient one waits about a minute for a Redis that is away: a task that waits is still held by its worker,
    whereas one that gives up must publish its retry to a Redis that is likely away, too. Without `patient`, for
    what must not wait, an error comes after the first command without an answer.
    """
    key = (os.getpid(), patient)
    if key not in _stores:
        repeats = REPEATS if patient else 0
        way = client.access(settings)
        _stores[key] = connect(settings.store_url, settings.key_prefix, access=way, repeats=repeats)
    return _stores[key]


def _pieces(order: Order) -> Counter[str]:
    # An article may stand on several lines, and the stock must do for all of them together.
    pieces: Counter[str] = Counter()
    for item in order.items:
        pieces[item.sku] += item.quantity
    return pieces


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _texts(values: Iterable[Any]) -> list[str]:
    return [_text(value) for value in values]


def _decoded(row: Mapping[Any, Any]) -> dict[str, str]:
    return {_text(key): _text(value) for key, value in row.items()}


def _order(order_id: str, row: Mapping[Any, Any]) -> Order:
    fields = _decoded(row)
    return Order(
        id=order_id,
        customer=fields["customer"],
        email=fields["email"],
        items=tuple(Item(**item) for item in json.loads(fields["items"])),
        status=fields["status"],
        total=int(fields["total"]),
        charge=fields["charge"],
        created=float(fields["created"]),
    )


def _batches(values: Sequence[Any], size: int = 500) -> Iterable[Sequence[Any]]:
    return (values[start : start + size] for start in range(0, len(values), size))
