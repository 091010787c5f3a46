"""Numbers -> Prometheus: the page of a worker, a beat or a producer, served by a thread of that process."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from celery import Celery
from celery.utils.log import get_logger

from app.runtime.metrics import tasks
from app.runtime.metrics.numbers import BUCKETS
from app.runtime.metrics.tasks import Tasks
from app.runtime.metrics.trouble import quietly, say
from app.runtime.options import Options

if TYPE_CHECKING:
    from prometheus_client.core import Metric

logger = get_logger(__name__)

# Seconds that one who asked for the page may be silent.
PATIENCE = 10

COUNTERS = {
    tasks.RECEIVED: "Messages that came to a worker.",
    tasks.STARTED: "Tasks that a pool took.",
    tasks.SUCCEEDED: "Tasks that ended well.",
    tasks.FAILED: "Tasks that failed for good.",
    tasks.RETRIED: "Attempts that ended in another attempt.",
    tasks.REVOKED: "Tasks that were cancelled, revoked, terminated or had expired.",
    tasks.REJECTED: "Messages that were rejected, or were none of a task.",
    tasks.DEAD_LETTER: "Tasks that went to the dead letters.",
}
WITH_EXCEPTION = (tasks.FAILED, tasks.RETRIED)
HISTOGRAMS = {
    tasks.RUNTIME: "Seconds of tasks that ended well.",
    tasks.QUEUE_WAIT: "Seconds from when a task was due (published, and its eta come) to its start.",
}
LABELS = ("name", "queue_name", "group")

# Name and meaning of each gauge; what has no value now is left out.
GAUGES = {
    "celery_worker_up": "1: the worker answers.",
    "celery_worker_tasks_active": "Tasks that the pool works on.",
    "celery_worker_pool_slots": "Tasks that the pool can work on at a time.",
    "celery_worker_heartbeat_age_seconds": "Seconds since the worker's event loop last turned.",
    "celery_worker_consuming": "1 while the worker takes messages, else 0.",
    "celery_worker_tasks_near_limit": "Tasks that have run for more than 80 % of their time limit.",
}
Values = Callable[[], Mapping[str, float | None]]


def serve_worker(app: Celery, options: Options, group: str, pool_size: int, values: Values) -> None:
    """Count tasks and serve the page of a worker of `group`, if `options` name a port; raises nothing.

    To be called before the pool starts. pool_size: how many pool processes there may be at a time, 0 for a pool
    without any. values: the gauges of now.
    """
    if options.metrics_port:
        counted = Tasks(app, group, pool_size)
        _serve(options, counted, lambda: [*_of_tasks(counted), *_gauges(GAUGES, values(), group)])


def serve_beat(app: Celery, options: Options, last_tick: Callable[[], float | None]) -> None:
    """Count what beat sends and serve its page, if `options` name a port; raises nothing.

    last_tick: unix seconds of the last turn in which this beat held the lock.
    """
    name = "celery_beat_last_tick_timestamp_seconds"
    texts = {name: "When this beat last looked at its schedule while it held the lock."}
    if options.metrics_port:
        counted = Tasks(app, "")
        _serve(options, counted, lambda: [*_sent(counted), *_gauges(texts, {name: last_tick()})])


def serve_producer(app: Celery, options: Options) -> None:
    """Count what this process sends and serve its page, if `options` name a port; raises nothing."""
    if options.metrics_port:
        counted = Tasks(app, "")
        _serve(options, counted, lambda: list(_sent(counted)))


@quietly
def _serve(options: Options, counted: Tasks, collect: Callable[[], list[Metric]]) -> None:
    try:
        from prometheus_client import CollectorRegistry, exposition
        from prometheus_client.registry import Collector
    except ImportError:
        logger.warning("Metrics: there is no page, because prometheus-client is not installed")
        return

    class Page(Collector):
        def describe(self) -> list[Metric]:
            return []

        def collect(self) -> list[Metric]:
            return collect()

    registry = CollectorRegistry()
    registry.register(Page())
    # Once before anybody asks: what it imports is imported now, and no fork finds a thread in the middle of it.
    exposition.generate_latest(registry)
    try:
        server, _ = exposition.start_http_server(options.metrics_port, options.metrics_host, registry)
    except OSError as error:
        say(f"the page on {options.metrics_host}:{options.metrics_port}", error)
        return
    handler: Any = server.RequestHandlerClass
    server.RequestHandlerClass = type("Handler", (handler,), {"timeout": PATIENCE})
    _close_in_children(server.socket)
    tasks.listen(counted)
    logger.info("Metrics: the page is on %s:%s", options.metrics_host, options.metrics_port)


def _close_in_children(listener: socket.socket) -> None:
    # A pool process that outlives its worker for a moment would hold the port, and answer nobody on it.
    os.register_at_fork(after_in_child=listener.close)


def _of_tasks(counted: Tasks) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
    from prometheus_client.utils import floatToGoString

    yield from _sent(counted)
    for name, text in COUNTERS.items():
        family = CounterMetricFamily(name, text, labels=(*LABELS, "exception") if name in WITH_EXCEPTION else LABELS)
        for labels, value in counted.numbers.counters(name).items():
            family.add_metric(labels, value)
        yield family
    bounds = [*map(floatToGoString, BUCKETS), "+Inf"]
    for name, text in HISTOGRAMS.items():
        histogram_family = HistogramMetricFamily(name, text, labels=LABELS)
        for labels, histogram in counted.numbers.histograms(name).items():
            buckets = list(zip(bounds, accumulate(histogram.cells), strict=True))
            histogram_family.add_metric(labels, buckets, histogram.sum)
        yield histogram_family


def _sent(counted: Tasks) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(tasks.SENT, "Tasks that this process published.", labels=LABELS[:2])
    for labels, value in counted.sent_totals().items():
        family.add_metric(labels, value)
    yield family


def _gauges(texts: Mapping[str, str], values: Mapping[str, float | None], group: str | None = None) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    for name, text in texts.items():
        family = GaugeMetricFamily(name, text, labels=() if group is None else ("group",))
        value = values.get(name)
        if value is not None:
            family.add_metric(() if group is None else (group,), value)
        yield family
