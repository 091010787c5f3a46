"""Does the clock tick, and is every schedule sent in time?"""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.page import Row, page, to
from grafana.panels import COUNT, PER_SECOND, SECONDS, Flag, Query, graph, number
from grafana.queries import rate, since, worst

SILENT = ((60, "orange"), (120, "red"))
# As its own page tells, and as the exporter reads it in Redis.
TICKED = since("celery_beat_last_tick_timestamp_seconds")


def build() -> Dashboard:
    """Return the dashboard."""
    return page("celery-beat", str(__doc__), (), [_now(), _schedule()])


def _now() -> Row:
    return Row(
        "beat: now",
        [
            number(
                "Has the lock",
                "Whether a beat may tick. Orange: none has the lock; a restart takes up to a minute, then look at "
                "beat's pod.",
                COUNT,
                worst("celery_beat_lock_held"),
                span=8,
                flag=Flag(("no", "orange"), ("yes", "green")),
            ),
            number(
                "Last tick",
                "Seconds since it ticked. Red: no schedule is sent; read beat's log.",
                SECONDS,
                TICKED,
                SILENT,
                span=8,
            ),
            number(
                "Most overdue schedule",
                "Seconds since it should have been sent. Red: below is which one; read beat's log, and send it by "
                "hand.",
                SECONDS,
                worst("celery_beat_schedule_overdue_seconds"),
                SILENT,
                span=8,
            ),
        ],
    )


def _schedule() -> Row:
    overdue = worst("celery_beat_schedule_overdue_seconds", by="schedule")
    return Row(
        "beat: is every schedule sent?",
        [
            graph(
                "Since the last tick",
                "A slope is a beat that is silent, red from two minutes on; a cliff back to 0 is one that took over.",
                SECONDS,
                Query(TICKED, "last tick"),
                steps=((120, "red"),),
            ),
            graph(
                "Overdue by schedule",
                "Seconds since a schedule should have been sent; the ten worst. Above the red line: send it by hand.",
                SECONDS,
                Query(f"topk(10, {overdue})", "{{schedule}}"),
                steps=((120, "red"),),
            ),
            graph(
                "Published by task",
                "What beat and tasks publish, the ten most frequent; the API's are not among them. Click a task to "
                "see it alone.",
                PER_SECOND,
                Query(f"topk(10, {rate('celery_task_sent_total', by='name')})", "{{name}}"),
                span=24,
                link=to("celery-task", "task", "name"),
            ),
        ],
    )
