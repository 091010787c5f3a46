"""Do the tasks of one queue start in time, and if not, why?"""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.page import Choice, Row, page, to
from grafana.panels import COUNT, PER_SECOND, SECONDS, SHARE, Flag, Query, graph, number
from grafana.queries import failing, late, of, quantile, rate, told, too_late, worst

THIS, ITS_GROUP = 'queue_name="$queue"', 'group="$group"'
WAIT = "celery_task_queue_wait_time"
TASK = to("celery-task", "task", "name")
OBJECTIVE = Query(worst("celery_queue_wait_objective_seconds", THIS), "objective", limit=True)
CHOICES = (
    Choice("queue", of("celery_queue_group"), "queue_name"),
    # What its workers are called: a queue has one group.
    Choice("group", of("celery_queue_group", THIS), "group", hidden=True),
)


def build() -> Dashboard:
    """Return the dashboard."""
    return page("celery-queue", str(__doc__), CHOICES, [_now(), _broker(), _worker()])


def _now() -> Row:
    return Row(
        "broker: $queue now",
        [
            number(
                "Waiting",
                "Messages in the queue, of all priorities. It has no red: what counts is how long they wait.",
                COUNT,
                told("celery_queue_length", THIS),
            ),
            number(
                "Longest wait",
                "The oldest waiting task, as a share of the objective. Red: it starts too late; is the queue paused, "
                "are there workers, are they at their maximum? Nothing is shown while the queue is paused.",
                SHARE,
                late(THIS),
                ((0.8, "orange"), (1, "red")),
            ),
            number(
                "Objective",
                "What a task may wait here, from the chart's values. It has no red.",
                SECONDS,
                OBJECTIVE.expr,
            ),
            number(
                "Workers",
                "Workers of group $group that were heard of within a lease. It has no red: none is right for an empty "
                "queue; none for minutes while tasks wait is an autoscaler in trouble.",
                COUNT,
                f"({told('celery_active_consumer_count', THIS)}) or vector(0)",
            ),
            number(
                "Paused",
                "Whether workers take nothing from it. Orange: somebody paused it; resume it with the queue command.",
                COUNT,
                worst("celery_queue_paused", THIS),
                flag=Flag(("no", "green"), ("paused", "orange")),
            ),
            number(
                "Dead letters",
                "Tasks of group $group that were set aside, because they killed their processes again and again. Red: "
                "look at them with the queue command, mend the task, send them again.",
                COUNT,
                told("celery_group_dead_letters", ITS_GROUP),
                ((1, "red"),),
            ),
        ],
    )


def _broker() -> Row:
    late_over = [Query(too_late(THIS, over), f"last {over}") for over in ("5m", "1h", "6h")]
    return Row(
        "broker: is work arriving, is it waiting?",
        [
            graph(
                "In and out",
                "Tasks that workers got from this queue, and those that ended. Ended below got: the workers fall "
                "behind.",
                PER_SECOND,
                Query(rate("celery_task_received_total", THIS), "got"),
                Query(rate("celery_task_succeeded_total", THIS), "ended well"),
                Query(rate("celery_task_failed_total", THIS), "failed"),
                Query(rate("celery_task_retried_total", THIS), "to be tried again"),
            ),
            graph(
                "Waiting",
                "Messages in the queue. A rise that goes on needs more workers, or a higher maximum.",
                COUNT,
                Query(told("celery_queue_length", THIS), "waiting"),
            ),
            graph(
                "Oldest waiting task",
                "Seconds for which it has waited. Above the red line tasks start too late: compare with Slots on the "
                "dashboard of workers.",
                SECONDS,
                Query(worst("celery_queue_oldest_age_seconds", THIS), "oldest"),
                OBJECTIVE,
            ),
            graph(
                "Wait of the tasks that started",
                "Half, 95 and 99 of 100 tasks had waited at most this. 95 % above the red line: the objective is "
                "missed.",
                SECONDS,
                *(Query(quantile(share, WAIT, THIS), f"{share:.0%}") for share in (0.5, 0.95, 0.99)),
                OBJECTIVE,
            ),
            graph(
                "Started too late",
                "Share of the tasks that had waited longer than the objective, which 5 % may. Above the red line the "
                "budget burns; the alerts ring at 72 % over an hour and at 30 % over six.",
                SHARE,
                *late_over,
                steps=((0.05, "red"),),
                top=0.1,
            ),
            graph(
                "Held by nobody alive",
                "Messages of group $group whose worker has not been heard of for a lease. Red for minutes: no "
                "living worker of the group is there to give them back.",
                COUNT,
                Query(told("celery_group_lapsed_leases", ITS_GROUP), "lapsed"),
                steps=((1, "red"),),
                top=1,
            ),
        ],
    )


def _worker() -> Row:
    return Row(
        "worker: what runs from it?",
        [
            graph(
                "Started by task",
                "The ten tasks that start most. One that takes all slots makes the others wait: give it a queue of "
                "its own.",
                PER_SECOND,
                Query(f"topk(10, {rate('celery_task_started_total', THIS, by='name')})", "{{name}}"),
                span=8,
                link=TASK,
            ),
            graph(
                "Failing by task",
                "Share of ends that were failures for good, the ten worst. Above the red line: click the task.",
                SHARE,
                Query(f"topk(10, {failing(THIS, by='name')})", "{{name}}"),
                steps=((0.05, "red"),),
                span=8,
                link=TASK,
                top=0.1,
            ),
            graph(
                "Runtime by task, 95 %",
                "The ten slowest tasks. The red line is the group's time limit, at which a task is killed.",
                SECONDS,
                Query(f"topk(10, {quantile(0.95, 'celery_task_runtime', THIS, by='name')})", "{{name}}"),
                Query(worst("celery_group_time_limit_seconds", ITS_GROUP), "time limit", limit=True),
                span=8,
                link=TASK,
            ),
        ],
    )
