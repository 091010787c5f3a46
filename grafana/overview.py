"""Is work arriving, is it waiting, is it being done, is it failing, is it being scaled?"""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.page import Row, page, to, to_cell
from grafana.panels import COUNT, PER_SECOND, SECONDS, SHARE, Column, Flag, Query, graph, number
from grafana.panels import rows as table
from grafana.queries import OUTCOMES, failing, late, of, pods, quantile, rate, since, told, worst

QUEUE = to("celery-queue", "queue", "queue_name")
TASK = to("celery-task", "task", "name")
GROUP = to("celery-workers", "group", "group")
LATE = ((0.8, "orange"), (1, "red"))
PAUSED = Flag(("no", "green"), ("paused", "orange"))
FAILING = ((0.01, "orange"), (0.05, "red"))
THERE = f"sum by (namespace, group) ({of('celery_worker_pool_slots')})"
WANTED = f"max by (namespace, group) ({of('celery_group_slots_wanted')})"


def build() -> Dashboard:
    """Return the dashboard."""
    return page(
        "celery-overview", str(__doc__), (), [_answers(), _broker(), _worker(), _scaling(), _beat(), _exporter()]
    )


def _answers() -> Row:
    # Where no worker's page is there, all the slots that are wanted are short.
    short = f"sum(clamp_min({WANTED} - ({THERE} or 0 * {WANTED}), 0))"
    alerts = of("ALERTS", 'alertname=~"Celery.+"', 'alertstate="firing"')
    return Row(
        "broker, worker, beat: in one look",
        [
            number(
                "Arriving",
                "Tasks that come to all queues. It has no red: if nothing arrives though it should, look at the "
                "producers and at beat.",
                PER_SECOND,
                told("celery_group_arrivals_per_second", each="group"),
            ),
            number(
                "Longest wait",
                "The oldest waiting task, as a share of what its queue's objective allows; paused queues don't count. "
                "Red: tasks start too late; see under broker which queue it is, and click it.",
                SHARE,
                f"max({late()})",
                LATE,
            ),
            number(
                "Done",
                "Tasks that end well. It has no red: if it is 0 while tasks wait, look at Workers and scaling.",
                PER_SECOND,
                rate("celery_task_succeeded_total"),
            ),
            number(
                "Failing",
                "Share of the tasks that failed for good in five minutes. Red: see under worker which task it is, and "
                "click it.",
                SHARE,
                failing(over="5m"),
                FAILING,
            ),
            number(
                "Slots missing",
                "Slots that the groups want and don't have. Orange is an autoscaler at work; if it stays, look at "
                "Workers and scaling.",
                COUNT,
                short,
                ((1, "orange"),),
            ),
            number(
                "Alerts ringing",
                "Alerts of this system. Red: open Alerting, each alert names its heading in the runbook. Source: "
                "Prometheus itself.",
                COUNT,
                f"count({alerts}) or vector(0)",
                ((1, "red"),),
            ),
        ],
    )


def _broker() -> Row:
    by = "queue_name"
    columns: dict[str, Column] = {
        "Waiting": (told("celery_queue_length", by=by), COUNT, ()),
        "Oldest": (worst("celery_queue_oldest_age_seconds", by=by), SECONDS, ()),
        "Objective": (worst("celery_queue_wait_objective_seconds", by=by), SECONDS, ()),
        "Of objective": (late(), SHARE, LATE),
        "Workers": (told("celery_active_consumer_count", by=by), COUNT, ()),
        "Paused": (worst("celery_queue_paused", by=by), PAUSED, ((1, "orange"),)),
    }
    return Row(
        "broker: is work arriving, is it waiting?",
        [
            table(
                "Queues",
                "All queues of now; click one to see it alone. Red in a row: its oldest task has waited longer than "
                "the objective. Orange under Paused: somebody paused it, and has to resume it.",
                by,
                columns,
                link=to_cell("celery-queue", "queue"),
            ),
            graph(
                "Arriving by group",
                "Tasks that come to the queues of each group. A step up explains a wait; a fall to 0 is a producer "
                "that stopped.",
                PER_SECOND,
                Query(told("celery_group_arrivals_per_second", by="group"), "{{group}}"),
                span=8,
                link=GROUP,
            ),
            graph(
                "Waiting by queue",
                "Messages in each queue. A rise is a burst; a rise that goes on needs more workers, or a higher "
                "maximum.",
                COUNT,
                Query(told("celery_queue_length", by=by), "{{queue_name}}"),
                span=8,
                link=QUEUE,
            ),
            graph(
                "Longest wait by queue, of its objective",
                "The oldest waiting task as a share of its queue's objective; paused queues are left out. "
                "Above the red line tasks start too late: click the queue.",
                SHARE,
                Query(late(), "{{queue_name}}"),
                steps=((1, "red"),),
                span=8,
                link=QUEUE,
                top=1,
            ),
        ],
    )


def _worker() -> Row:
    ended = [Query(rate(f"celery_task_{outcome}_total"), outcome) for outcome in OUTCOMES]
    busy = f"sum by (group) ({of('celery_worker_tasks_active')}) / sum by (group) ({of('celery_worker_pool_slots')})"
    return Row(
        "worker: is it done, does it fail?",
        [
            graph(
                "Tasks by outcome",
                "How tasks end. A line that is not there has had none. Many retried: what the tasks call is in "
                "trouble.",
                PER_SECOND,
                *ended,
            ),
            graph(
                "Failing by task",
                "Share of each task's ends that were failures for good, the ten worst. Above the red line: click the "
                "task, its dashboard says which exception.",
                SHARE,
                Query(f"topk(10, {failing(by='name')})", "{{name}}"),
                steps=((0.05, "red"),),
                link=TASK,
                top=0.1,
            ),
            graph(
                "Runtime by task, 95 %",
                "95 of 100 runs that ended well took at most this; the ten slowest tasks. It has no red: the limit is "
                "the group's.",
                SECONDS,
                Query(f"topk(10, {quantile(0.95, 'celery_task_runtime', by='name')})", "{{name}}"),
                link=TASK,
            ),
            graph(
                "Busy slots by group",
                "Share of the slots in which a task runs. At 100 % with work waiting, more workers are needed.",
                SHARE,
                Query(busy, "{{group}}"),
                link=GROUP,
                top=1,
            ),
        ],
    )


def _scaling() -> Row:
    return Row(
        "worker: is it being scaled?",
        [
            graph(
                "Slots that are missing by group",
                "Slots that the group wants and no worker has. A peak is the start of pods; a plateau is a maximum "
                "that was reached, or an autoscaler that does nothing: click the group.",
                COUNT,
                Query(f"sum by (group) (clamp_min({WANTED} - ({THERE} or 0 * {WANTED}), 0))", "{{group}}"),
                link=GROUP,
            ),
            graph(
                "Pods by group",
                "Pods that are ready. It should follow the work, down to the minimum. Source: kube-state-metrics.",
                COUNT,
                Query(pods("kube_deployment_status_replicas_available"), "{{group}}"),
                link=GROUP,
            ),
        ],
    )


def _beat() -> Row:
    return Row(
        "beat: does the clock tick?",
        [
            number(
                "Last tick",
                "Seconds since beat last ticked. Red: no schedule is sent; look at beat's pod and its log.",
                SECONDS,
                since("celery_beat_last_tick_timestamp_seconds"),
                ((60, "orange"), (120, "red")),
                span=12,
            ),
            number(
                "Most overdue schedule",
                "Seconds since a schedule should have been sent. Red: the dashboard of beat says which one.",
                SECONDS,
                worst("celery_beat_schedule_overdue_seconds"),
                ((60, "orange"), (120, "red")),
                span=12,
            ),
        ],
    )


def _exporter() -> Row:
    return Row(
        "exporter: can this page be believed?",
        [
            number(
                "Redis can be read",
                "Whether the exporter's last look at Redis succeeded. Red: look at the broker; what is shown of "
                "queues is old.",
                COUNT,
                f"min({of('celery_exporter_redis_up')})",
                span=8,
                flag=Flag(("no", "red"), ("yes", "green")),
            ),
            number(
                "Age of the numbers",
                "Seconds since the exporter last read Redis. Red: the numbers of queues, beat and broker are old.",
                SECONDS,
                since("celery_exporter_last_read_timestamp_seconds"),
                ((60, "orange"), (120, "red")),
                span=8,
            ),
            number(
                "Time for a look",
                "Seconds that the exporter's look at Redis takes. Red: Redis is slow, for the workers too.",
                SECONDS,
                worst("celery_exporter_read_seconds"),
                ((0.1, "orange"), (0.5, "red")),
                span=8,
            ),
        ],
    )
