"""Readings -> metrics: what the page has about queues and groups.

Names follow celery-exporter's where it has them. While Redis can't be read there is no number of it: a scaler would
believe an old one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from app.exporter.config import Group, Settings
from app.exporter.demand import Demand, slots_wanted
from app.exporter.reading import Load, Reading, read
from app.runtime import servers

logger = logging.getLogger(__name__)

# Seconds that one Redis command may take; KEDA waits 3 s for the page.
REDIS_TIMEOUT = 2.0
# Seconds for which a reading serves others, too: KEDA asks once for each group.
MAX_AGE = 1.0


class GroupGauge(NamedTuple):
    """A number of each group; a value of None is left out."""

    name: str
    text: str
    value: Callable[[Group, Load, Demand], float | None]


GROUP_GAUGES = (
    GroupGauge(
        "celery_group_in_flight",
        "Messages that the group's workers hold: running, or waiting there for their eta.",
        lambda group, load, demand: load.in_flight,
    ),
    GroupGauge(
        "celery_group_held",
        "Messages that wait in a worker for an eta that has not come.",
        lambda group, load, demand: load.held,
    ),
    GroupGauge(
        "celery_group_work",
        "Messages that want a slot now: waiting or in flight, and not held.",
        lambda group, load, demand: load.work,
    ),
    GroupGauge(
        "celery_group_slots",
        "Tasks at a time in one pod of the group.",
        lambda group, load, demand: group.slots,
    ),
    GroupGauge(
        "celery_group_slots_wanted",
        "Slots that keep the wait of a task below the group's target.",
        lambda group, load, demand: slots_wanted(load, demand.arrivals, demand.service, group.wait_seconds),
    ),
    GroupGauge(
        "celery_group_arrivals_per_second",
        "Messages that come, over about a minute; absent until there were two readings.",
        lambda group, load, demand: demand.arrivals,
    ),
    GroupGauge(
        "celery_group_service_seconds",
        "Seconds that a task keeps a slot busy, over about a minute; absent until one has ended.",
        lambda group, load, demand: demand.service,
    ),
)


class BrokerCollector(Collector):
    """Reads the broker when it is asked, at most once in MAX_AGE, one request at a time."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        """Make no connection yet. clock: seconds that never go back."""
        self._settings, self._clock = settings, clock
        timeouts = {"socket_timeout": REDIS_TIMEOUT, "socket_connect_timeout": REDIS_TIMEOUT}
        self._client = servers.connect(settings.broker_url, settings.access, retry=servers.once(), **timeouts)
        self._demands = {group.name: Demand() for group in settings.groups}
        self._lock = threading.Lock()
        self._metrics: list[Metric] = []
        self._read_at: float | None = None
        self._success_at: float | None = None
        self._said = ""

    def describe(self) -> list[Metric]:
        """Return the metrics without a number; a request for some of them (`?name[]=`) needs their names."""
        return list(self._render(None, 0.0))

    def collect(self) -> list[Metric]:
        """Return the metrics with the numbers of now."""
        with self._lock:
            if self._read_at is None or self._clock() - self._read_at >= MAX_AGE:
                began = self._clock()
                reading = self._read()
                self._read_at = self._clock()
                self._metrics = list(self._render(reading, self._read_at - began))
            return self._metrics

    def _read(self) -> Reading | None:
        try:
            reading = read(self._client, self._settings.keys, self._settings.groups, time.time())
        # Beside redis-py's: a certificate authority that is no file.
        except (RedisError, OSError) as error:
            self._say(f"{servers.advice(error)} ({error})")
            return None
        self._say("")
        self._success_at = time.time()
        for name, load in reading.groups.items():
            self._demands[name].observe(load, self._clock())
        return reading

    def _say(self, trouble: str) -> None:
        # Once for each trouble: it is met at every request.
        if trouble and trouble != self._said:
            logger.warning("Redis can't be read: %s", trouble)
        elif self._said and not trouble:
            logger.info("Redis can be read again")
        self._said = trouble

    def _render(self, reading: Reading | None, seconds: float) -> Iterator[Metric]:
        up = "celery_exporter_redis_up", "1 when the last look at Redis succeeded, else 0."
        yield GaugeMetricFamily(*up, value=int(reading is not None))
        yield GaugeMetricFamily("celery_exporter_read_seconds", "Seconds that the last look at Redis took.", seconds)
        last = GaugeMetricFamily(
            "celery_exporter_last_read_timestamp_seconds", "When a look at Redis last succeeded.", labels=()
        )
        if self._success_at is not None:
            last.add_metric((), self._success_at)
        yield last
        yield self._lengths(reading)
        for gauge in GROUP_GAUGES:
            yield self._of_groups(gauge, reading)

    def _lengths(self, reading: Reading | None) -> Metric:
        family = GaugeMetricFamily(
            "celery_queue_length", "Messages that wait in the queue, of all priorities.", labels=("queue_name",)
        )
        for name, length in (reading.queues if reading else {}).items():
            family.add_metric((name,), length)
        return family

    def _of_groups(self, gauge: GroupGauge, reading: Reading | None) -> Metric:
        family = GaugeMetricFamily(gauge.name, gauge.text, labels=("group",))
        for group in self._settings.groups if reading else ():
            assert reading is not None
            value = gauge.value(group, reading.groups[group.name], self._demands[group.name])
            if value is not None:
                family.add_metric((group.name,), value)
        return family
