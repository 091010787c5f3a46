"""Is Redis there, has it room, and does it keep what it has?"""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.page import Row, page, to
from grafana.panels import BYTES, COUNT, PER_SECOND, SECONDS, SHARE, Flag, Query, graph, number
from grafana.queries import of, rate, told, worst

SAFE = Flag(("no", "red"), ("yes", "green"))
FULL = ((0.7, "orange"), (0.8, "red"))


def build() -> Dashboard:
    """Return the dashboard."""
    return page("celery-broker", str(__doc__), (), [_now(), _room(), _work()])


def _share(used: str, limit: str) -> str:
    joint = "namespace"
    return f"max(max by ({joint}) ({of(used)}) / on ({joint}) (max by ({joint}) ({of(limit)}) > 0))"


def _now() -> Row:
    return Row(
        "broker: now",
        [
            number(
                "Answers",
                "Whether the exporter's last look succeeded. Red: no task is accepted and none starts; look at Redis' "
                "pod and log.",
                COUNT,
                f"min({of('celery_exporter_redis_up')})",
                span=3,
                flag=SAFE,
            ),
            number(
                "Memory",
                "Share of maxmemory. Red: when it is full it takes no task; look which queue is long. Nothing is "
                "shown where Redis has no maxmemory.",
                SHARE,
                _share("celery_broker_memory_used_bytes", "celery_broker_memory_max_bytes"),
                FULL,
                span=3,
            ),
            number(
                "Connections",
                "Share of maxclients. Red: the next worker gets none; raise maxclients, or find who opens them.",
                SHARE,
                _share("celery_broker_connected_clients", "celery_broker_max_clients"),
                FULL,
                span=3,
            ),
            number(
                "Refuses when full",
                "Whether maxmemory-policy is noeviction. Red: a full Redis forgets queues; set the policy.",
                COUNT,
                f"min({of('celery_broker_noeviction')})",
                span=3,
                flag=SAFE,
            ),
            number(
                "Keeps a log",
                "Whether it writes an append-only file. Red: a restart forgets the tasks since the last snapshot.",
                COUNT,
                f"min({of('celery_broker_aof_enabled')})",
                span=3,
                flag=SAFE,
            ),
            number(
                "Disk takes it",
                "Whether its last write succeeded. Red: the disk is full or broken, and Redis refuses tasks.",
                COUNT,
                f"min({of('celery_broker_last_write_ok')})",
                span=3,
                flag=SAFE,
            ),
            number(
                "Running for",
                "Since it started. Orange: it restarted in the last ten minutes; look why.",
                SECONDS,
                f"min({of('celery_broker_uptime_seconds')})",
                ((0, "orange"), (600, "green")),
                span=3,
            ),
            number(
                "Keys thrown away",
                "In an hour, for want of memory. Red: a key may be a queue; set noeviction and give it memory.",
                COUNT,
                f"sum(increase({of('celery_broker_evicted_keys_total')}[1h]))",
                ((0.5, "red"),),
                span=3,
            ),
        ],
    )


def _room() -> Row:
    return Row(
        "broker: has it room?",
        [
            graph(
                "Memory",
                "What Redis uses; at the dashed line it refuses tasks. A rise with no longer queue is results that "
                "don't expire.",
                BYTES,
                Query(told("celery_broker_memory_used_bytes"), "used"),
                Query(told("celery_broker_memory_max_bytes"), "maximum", limit=True),
            ),
            graph(
                "Connections",
                "Clients; at the dashed line it takes no more. A rise that goes on is a client that opens and never "
                "closes.",
                COUNT,
                Query(told("celery_broker_connected_clients"), "clients"),
                Query(told("celery_broker_max_clients"), "maximum", limit=True),
            ),
            graph(
                "Keys thrown away",
                "For want of memory. Red: tasks may be lost; set noeviction.",
                PER_SECOND,
                Query(rate("celery_broker_evicted_keys_total"), "thrown away"),
                steps=((0.001, "red"),),
            ),
            graph(
                "Time for a look",
                "Seconds that the exporter needs to read everything. Above the red line Redis is slow for all: a long "
                "command (SLOWLOG GET), a full CPU, the network.",
                SECONDS,
                Query(worst("celery_exporter_read_seconds"), "look"),
                steps=((0.5, "red"),),
            ),
        ],
    )


def _work() -> Row:
    return Row(
        "broker: what is in it?",
        [
            graph(
                "Waiting by queue",
                "Messages in each queue. The longest one is what fills the memory.",
                COUNT,
                Query(told("celery_queue_length", by="queue_name"), "{{queue_name}}"),
                link=to("celery-queue", "queue", "queue_name"),
            ),
            graph(
                "In flight by group",
                "Messages that workers hold; Redis keeps a copy of each until it is done.",
                COUNT,
                Query(told("celery_group_in_flight", by="group"), "{{group}}"),
                link=to("celery-workers", "group", "group"),
            ),
        ],
    )
