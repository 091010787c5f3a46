"""Redis -> page, when somebody asks: at most one look in a second, and an answer within LIMIT.

While Redis can't be read, what an autoscaler goes by is not on the page: it would believe an old number. The rest is as
it was last read; `celery_exporter_redis_up` 0 says so, and `celery_exporter_last_read_timestamp_seconds` how old it is.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis import Redis
from redis.exceptions import RedisError

from app.exporter import metrics
from app.exporter.config import Settings
from app.exporter.demand import Demand
from app.exporter.limited import Limited
from app.exporter.reading import Reading, read
from app.runtime import servers

logger = logging.getLogger(__name__)

# Seconds that one read of a socket may take.
REDIS_TIMEOUT = 2.0
# Seconds that a look may take in all, from the connection on; KEDA waits 3 s for the page.
LIMIT = 2.5
# Seconds for which a reading serves others, too: KEDA asks once for each group.
MAX_AGE = 1.0


class BrokerCollector(Collector):
    """Reads the broker when it is asked, at most once in MAX_AGE, one request at a time."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        """Make no connection yet. clock: seconds that never go back."""
        self._settings, self._clock = settings, clock
        self._client = self._connect()
        self._look = Limited(lambda: read(self._client, settings, time.time()), LIMIT, self._hang_up)
        self._demands = {group.name: Demand() for group in settings.groups}
        self._lock = threading.Lock()
        self._metrics: list[Metric] = []
        self._read_at: float | None = None
        self._reading: Reading | None = None
        self._success_at: float | None = None
        self._ticked_at: float | None = None
        self._said = ""

    def describe(self) -> list[Metric]:
        """Return the metrics without a number; a request for some of them (`?name[]=`) needs their names."""
        return list(self._render(False, 0.0))

    def collect(self) -> list[Metric]:
        """Return the metrics with the numbers of now."""
        with self._lock:
            if self._read_at is None or self._clock() - self._read_at >= MAX_AGE:
                began = self._clock()
                fresh = self._read()
                self._read_at = self._clock()
                self._metrics = list(self._render(fresh, self._read_at - began))
            return self._metrics

    def _connect(self) -> Redis:
        timeouts = {"socket_timeout": REDIS_TIMEOUT, "socket_connect_timeout": REDIS_TIMEOUT}
        return servers.connect(self._settings.broker_url, self._settings.access, retry=servers.once(), **timeouts)

    def _hang_up(self) -> None:
        client, self._client = self._client, self._connect()
        client.connection_pool.disconnect(inuse_connections=True)

    def _read(self) -> bool:
        """Look at Redis; return whether it could be read."""
        try:
            reading = self._look()
        # Beside redis-py's: a certificate authority that is no file.
        except (RedisError, OSError) as error:
            self._say(f"{servers.advice(error)} ({error})")
            return False
        except Exception as error:  # what no Redis says makes redis-py stumble in any way
            self._say(f"The server in CELERY_BROKER_URL does not answer as a Redis does ({error!r:.200})")
            return False
        self._say(f"Some numbers are missing: {'; '.join(sorted(reading.refused))}" if reading.refused else "")
        self._reading, self._success_at = reading, time.time()
        if reading.beat is not None and reading.beat.ticked is not None:
            self._ticked_at = reading.beat.ticked
        for name, load in reading.groups.items():
            self._demands[name].observe(load, self._clock())
        return True

    def _say(self, trouble: str) -> None:
        # Once for each trouble: it is met at every request.
        if trouble and trouble != self._said:
            logger.warning("Redis can't be read: %s", trouble)
        elif self._said and not trouble:
            logger.info("Redis can be read again")
        self._said = trouble

    def _render(self, fresh: bool, seconds: float) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "celery_exporter_redis_up", "1 when the last look at Redis succeeded, else 0.", int(fresh)
        )
        yield GaugeMetricFamily("celery_exporter_read_seconds", "Seconds that the last look at Redis took.", seconds)
        last = GaugeMetricFamily(
            "celery_exporter_last_read_timestamp_seconds", "When a look at Redis last succeeded.", labels=()
        )
        if self._success_at is not None:
            last.add_metric((), self._success_at)
        yield last
        yield from metrics.configured(self._settings)
        yield from metrics.read(self._reading, self._settings, self._demands, fresh)
        if self._settings.beat:
            yield from metrics.beat(self._reading.beat if self._reading else None, self._ticked_at)
