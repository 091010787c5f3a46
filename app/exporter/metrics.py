"""Reading -> page: the names, texts and labels of everything that the exporter tells.

Names follow celery-exporter's where it has them. Labels are those of the configuration, and the names of schedules,
of which there is a bounded number; so the page does not grow with pods, tasks or time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from app.exporter.beat import Beat
from app.exporter.config import Group, Settings
from app.exporter.demand import Demand, slots_wanted
from app.exporter.reading import Crew, Load, Queue, Reading
from app.exporter.server import Server

Number = float | None


class OfGroup(NamedTuple):
    """A number of each group, from its load; None is left out.

    scales: an autoscaler goes by it, so there must never be an old one.
    """

    name: str
    text: str
    value: Callable[[Group, Load, Demand], Number]
    scales: bool = False


LOADS = (
    OfGroup(
        "celery_group_in_flight",
        "Messages that the group's workers hold: running, or waiting there for their eta.",
        lambda group, load, demand: load.in_flight,
    ),
    OfGroup(
        "celery_group_held",
        "Messages that wait in a worker for an eta that has not come.",
        lambda group, load, demand: load.held,
    ),
    OfGroup(
        "celery_group_work",
        "Messages that want a slot now: waiting or in flight, and not held.",
        lambda group, load, demand: load.work,
        scales=True,
    ),
    OfGroup(
        "celery_group_slots_wanted",
        "Slots that keep the wait of a task below the group's target.",
        lambda group, load, demand: slots_wanted(load, demand.arrivals, demand.service, group.wait_seconds),
        scales=True,
    ),
    OfGroup(
        "celery_group_arrivals_per_second",
        "Messages that come, over about a minute; absent until there were two readings.",
        lambda group, load, demand: demand.arrivals,
    ),
    OfGroup(
        "celery_group_service_seconds",
        "Seconds that a task keeps a slot busy, over about a minute; absent until one has ended.",
        lambda group, load, demand: demand.service,
    ),
)


class OfQueue(NamedTuple):
    """A number of each queue."""

    name: str
    text: str
    value: Callable[[Queue], Number]


QUEUES = (
    OfQueue("celery_queue_length", "Messages that wait in the queue, of all priorities.", lambda queue: queue.length),
    OfQueue(
        "celery_queue_oldest_age_seconds",
        "Seconds for which the message has waited that has waited longest; 0 when none waits.",
        lambda queue: queue.oldest,
    ),
    OfQueue("celery_queue_paused", "1: workers take nothing from it until it is resumed.", lambda queue: queue.paused),
)


class OfCrew(NamedTuple):
    """A number of each group's workers."""

    name: str
    text: str
    value: Callable[[Crew], Number]


CREWS = (
    OfCrew(
        "celery_group_oldest_running_seconds",
        "Seconds for which the task runs that has run longest, as of its worker's last renewal; 0 when none runs.",
        lambda crew: crew.oldest,
    ),
    OfCrew(
        "celery_group_lapsed_leases",
        "Messages that a worker took and nobody has renewed for a lease; a living worker gives them back.",
        lambda crew: crew.lapsed,
    ),
    OfCrew("celery_group_dead_letters", "Messages that no worker runs before somebody looked.", lambda crew: crew.dead),
)


class OfServer(NamedTuple):
    """A number of the server; a name that ends in _total is a counter's."""

    name: str
    text: str
    value: Callable[[Server], Number]


SERVER = (
    OfServer("celery_broker_memory_used_bytes", "What Redis has in memory.", lambda server: server.memory),
    OfServer(
        "celery_broker_memory_max_bytes",
        "What it may have there (maxmemory); absent where nothing bounds it.",
        lambda server: server.memory_limit,
    ),
    OfServer(
        "celery_broker_evicted_keys_total",
        "Keys that it dropped for want of memory: messages, perhaps.",
        lambda server: server.evicted,
    ),
    OfServer(
        "celery_broker_noeviction",
        "1: when its memory is full it refuses to write, 0: it drops something.",
        lambda server: server.keeps_all,
    ),
    OfServer(
        "celery_broker_aof_enabled",
        "1: it writes what happens to an append-only file.",
        lambda server: server.appends,
    ),
    OfServer(
        "celery_broker_last_write_ok",
        "1: it last wrote to its disk without an error, the append-only file and the snapshot.",
        lambda server: server.wrote,
    ),
    OfServer("celery_broker_connected_clients", "Connections to it.", lambda server: server.clients),
    OfServer("celery_broker_max_clients", "How many it takes.", lambda server: server.clients_limit),
    OfServer("celery_broker_uptime_seconds", "Seconds since it started.", lambda server: server.uptime),
)


def configured(settings: Settings) -> Iterator[Metric]:
    """Yield what was told to the exporter: it is true whether Redis can be read or not."""
    groups = settings.groups
    owners = [((queue, group.name), 1) for group in groups for queue in group.queues]
    objectives = [((queue,), group.objective_seconds) for group in groups for queue in group.queues]
    yield _gauge("celery_queue_group", "1: the group consumes the queue.", owners, "queue_name", "group")
    yield _gauge("celery_queue_wait_objective_seconds", "What a task may wait in the queue.", objectives, "queue_name")
    yield _gauge(
        "celery_group_slots", "Tasks at a time in one pod of the group.", _each(groups, lambda one: one.slots), "group"
    )
    yield _gauge(
        "celery_group_time_limit_seconds",
        "A task of the group is killed after this.",
        _each(groups, lambda one: one.limit_seconds),
        "group",
    )


def read(reading: Reading | None, settings: Settings, demands: Mapping[str, Demand], fresh: bool) -> Iterator[Metric]:
    """Yield what was read; without a reading, metrics without a number.

    fresh: Redis could be read just now. If not, `reading` is the last one, and what scales is left out of it.
    """
    queues, crews = (reading.queues, reading.crews) if reading else ({}, {})
    for of_queue in QUEUES:
        samples = [((name,), of_queue.value(queue)) for name, queue in queues.items()]
        yield _gauge(of_queue.name, of_queue.text, samples, "queue_name")
    workers = [
        ((queue,), crews[group.name].workers)
        for group in settings.groups
        if group.name in crews
        for queue in group.queues
    ]
    yield _gauge(
        "celery_active_consumer_count",
        "Workers of the queue's group that were heard of within a lease, also while the queue is paused.",
        workers,
        "queue_name",
    )
    for of_group in LOADS:
        known = reading.groups if reading and (fresh or not of_group.scales) else {}
        values = [
            ((group.name,), of_group.value(group, known[group.name], demands[group.name]))
            for group in settings.groups
            if group.name in known
        ]
        yield _gauge(of_group.name, of_group.text, values, "group")
    for of_crew in CREWS:
        yield _gauge(
            of_crew.name, of_crew.text, [((name,), of_crew.value(crew)) for name, crew in crews.items()], "group"
        )
    yield from _server(reading.server if reading else None)


def beat(found: Beat | None, ticked: float | None) -> Iterator[Metric]:
    """Yield what was read of beat. ticked: when it last did, also if it has ended since."""
    locked = found.locked if found else None
    overdue = found.overdue if found else {}
    yield _gauge("celery_beat_lock_held", "1: a beat has the lock, and may tick.", [((), locked)])
    yield _gauge(
        "celery_beat_last_tick_timestamp_seconds",
        "When beat last ticked, by its lock; absent until it was seen to.",
        [((), ticked)],
    )
    yield _gauge(
        "celery_beat_schedule_overdue_seconds",
        "Seconds since the schedule should have been sent; 0 when its time has not come.",
        [((name,), late) for name, late in overdue.items()],
        "schedule",
    )


def _server(server: Server | None) -> Iterator[Metric]:
    for of_server in SERVER:
        value = of_server.value(server) if server else None
        kind = CounterMetricFamily if of_server.name.endswith("_total") else GaugeMetricFamily
        yield _family(kind(of_server.name, of_server.text, labels=()), [((), value)])


def _each(groups: Iterable[Group], value: Callable[[Group], Number]) -> list[tuple[tuple[str, ...], Number]]:
    return [((group.name,), value(group)) for group in groups]


def _gauge(name: str, text: str, samples: Iterable[tuple[tuple[str, ...], Number]], *labels: str) -> Metric:
    return _family(GaugeMetricFamily(name, text, labels=labels), samples)


def _family(
    family: GaugeMetricFamily | CounterMetricFamily, samples: Iterable[tuple[tuple[str, ...], Number]]
) -> Metric:
    for labels, value in samples:
        if value is not None:
            family.add_metric(labels, value)
    return family
