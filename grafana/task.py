"""Is one task done, how fast, and what does it fail of?"""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.page import Choice, Row, page, to
from grafana.panels import COUNT, PER_SECOND, SECONDS, SHARE, Query, graph, number
from grafana.queries import OUTCOMES, failing, of, quantile, rate

FROM_QUEUE = 'queue_name=~"$queue"'
THIS = ('name="$task"', FROM_QUEUE)
RUNTIME, WAIT = "celery_task_runtime", "celery_task_queue_wait_time"
CHOICES = (
    Choice("queue", of("celery_task_received_total"), "queue_name", several=True),
    Choice("task", of("celery_task_received_total", FROM_QUEUE), "name"),
)


def build() -> Dashboard:
    """Return the dashboard."""
    return page("celery-task", str(__doc__), CHOICES, [_now(), _work(), _trouble()])


def _now() -> Row:
    started, retried = (rate(f"celery_task_{what}_total", *THIS, over="5m") for what in ("started", "retried"))
    dead = f"sum(increase({of('celery_task_dead_letter_total', *THIS)}[1h]))"
    return Row(
        "worker: $task now",
        [
            number(
                "Started",
                "Runs that start, also those of another attempt. It has no red: 0 may be right.",
                PER_SECOND,
                rate("celery_task_started_total", *THIS),
            ),
            number(
                "Failing",
                "Share of the ends in five minutes that were failures for good. Red: the exceptions are below.",
                SHARE,
                failing(*THIS, over="5m"),
                ((0.01, "orange"), (0.05, "red")),
            ),
            number(
                "Trying again",
                "Share of the runs in five minutes that ended in another attempt. Red: what the task calls is away; "
                "it is tried again and again.",
                SHARE,
                f"({retried} or 0 * {started}) / ({started} > 0)",
                ((0.1, "orange"), (0.5, "red")),
            ),
            number(
                "Runtime, 95 %",
                "95 of 100 runs that ended well took at most this. It has no red: compare with its past.",
                SECONDS,
                quantile(0.95, RUNTIME, *THIS),
            ),
            number(
                "Wait, 95 %",
                "95 of 100 runs had waited at most this. It has no red: the objective is its queue's, click there.",
                SECONDS,
                quantile(0.95, WAIT, *THIS),
            ),
            number(
                "Dead letters in an hour",
                "Set aside because it killed its process again and again. Red: memory, or a crash in C code; look at "
                "the letter with the queue command.",
                COUNT,
                dead,
                ((0.5, "red"),),
            ),
        ],
    )


def _work() -> Row:
    queue = to("celery-queue", "queue", "queue_name")
    return Row(
        "worker: is it done, how fast?",
        [
            graph(
                "By outcome",
                "How runs end. A line that is not there has had none.",
                PER_SECOND,
                Query(rate("celery_task_started_total", *THIS), "started"),
                *(Query(rate(f"celery_task_{outcome}_total", *THIS), outcome) for outcome in OUTCOMES),
            ),
            graph(
                "By queue",
                "Runs that start from each queue. More than one: somebody sends it past the routes.",
                PER_SECOND,
                Query(rate("celery_task_started_total", *THIS, by="queue_name"), "{{queue_name}}"),
                link=queue,
            ),
            graph(
                "Runtime",
                "Half, 95 and 99 of 100 runs that ended well took at most this. A step after a deploy is that "
                "deploy's.",
                SECONDS,
                *(Query(quantile(share, RUNTIME, *THIS), f"{share:.0%}") for share in (0.5, 0.95, 0.99)),
            ),
            graph(
                "Wait",
                "Half, 95 and 99 of 100 runs had waited at most this, from when they were due.",
                SECONDS,
                *(Query(quantile(share, WAIT, *THIS), f"{share:.0%}") for share in (0.5, 0.95, 0.99)),
            ),
        ],
    )


def _trouble() -> Row:
    return Row(
        "worker: what does it fail of?",
        [
            graph(
                "Failures by exception",
                "Ends for good. The name is the exception's class; the log has its text, with the task's id.",
                PER_SECOND,
                Query(f"topk(10, {rate('celery_task_failed_total', *THIS, by='exception')})", "{{exception}}"),
                span=8,
            ),
            graph(
                "Further attempts by exception",
                "Runs that will be tried again. Network errors: look at what the task calls.",
                PER_SECOND,
                Query(f"topk(10, {rate('celery_task_retried_total', *THIS, by='exception')})", "{{exception}}"),
                span=8,
            ),
            graph(
                "Published by workers and beat",
                "Runs of this task that other tasks, retries or beat asked for; the API's are not among them.",
                PER_SECOND,
                Query(rate("celery_task_sent_total", *THIS, by="queue_name"), "to {{queue_name}}"),
                span=8,
            ),
        ],
    )
