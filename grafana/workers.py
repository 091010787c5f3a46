"""Are the workers alive and at work, and do the autoscalers give them as many slots as the work wants?"""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.page import Choice, Row, page
from grafana.panels import COUNT, PER_SECOND, SECONDS, SHARE, Query, graph, number
from grafana.queries import of, pods, scaler, told, worst

THESE = 'group=~"$group"'
CHOICES = (Choice("group", of("celery_queue_group"), "group", several=True),)
KUBE = "Source: kube-state-metrics."


def build() -> Dashboard:
    """Return the dashboard."""
    return page("celery-workers", str(__doc__), CHOICES, [_now(), _work(), _scaling(), _pods()])


def _sum(metric: str, by: str = "") -> str:
    return f"sum by ({by}) ({of(metric, THESE)})" if by else f"sum({of(metric, THESE)})"


def _now() -> Row:
    up = _sum("celery_worker_up")
    return Row(
        "worker: now",
        [
            number("Workers", "Workers whose page answers. It has no red: none is right without work.", COUNT, up),
            number(
                "Not consuming",
                "Workers that are up and take no message. Orange: they are stopping, starting or paused; if it stays, "
                "look at their logs and at Redis.",
                COUNT,
                f"{up} - {_sum('celery_worker_consuming')}",
                ((1, "orange"),),
            ),
            number(
                "Busy slots",
                "Share of the slots in which a task runs. It has no red: full is cheap as long as nothing waits too "
                "long.",
                SHARE,
                f"{_sum('celery_worker_tasks_active')} / {_sum('celery_worker_pool_slots')}",
            ),
            number(
                "Near the time limit",
                "Tasks that have run for over 80 % of their time limit. Red: they will be killed there; see which "
                "task is slow.",
                COUNT,
                _sum("celery_worker_tasks_near_limit"),
                ((1, "red"),),
            ),
            number(
                "Oldest heartbeat",
                "Seconds since the slowest worker's event loop turned. Red: it hangs, and Kubernetes will restart it.",
                SECONDS,
                f"max({of('celery_worker_heartbeat_age_seconds', THESE)})",
                ((15, "orange"), (60, "red")),
            ),
            number(
                "Held by nobody alive",
                "Messages of workers that died, not given back yet. Red for more than a lease: the group has no "
                "living worker.",
                COUNT,
                told("celery_group_lapsed_leases", THESE, each="group"),
                ((1, "red"),),
            ),
        ],
    )


def _work() -> Row:
    return Row(
        "worker: is work being done?",
        [
            graph(
                "Busy slots by group",
                "Share of the slots in which a task runs. 100 % for long while work waits: more workers are needed.",
                SHARE,
                Query(
                    f"{_sum('celery_worker_tasks_active', 'group')} / {_sum('celery_worker_pool_slots', 'group')}",
                    "{{group}}",
                ),
                top=1,
            ),
            graph(
                "Messages in the workers' hands",
                "In flight: running or waiting there for their eta. Held: those that wait for it. In flight above the "
                "slots for long is work that runs nowhere.",
                COUNT,
                Query(told("celery_group_in_flight", THESE, by="group"), "{{group}} in flight"),
                Query(told("celery_group_held", THESE, by="group"), "{{group}} held"),
            ),
            graph(
                "Longest running task",
                "Seconds for which it has run. At its group's dashed line a task is killed.",
                SECONDS,
                Query(worst("celery_group_oldest_running_seconds", THESE, by="group"), "{{group}}"),
                Query(worst("celery_group_time_limit_seconds", THESE, by="group"), "{{group}} limit", limit=True),
            ),
            graph(
                "Dead letters",
                "Tasks that were set aside, because they killed their processes again and again. Red: look at them "
                "with the queue command.",
                COUNT,
                Query(told("celery_group_dead_letters", THESE, by="group"), "{{group}}"),
                steps=((1, "red"),),
                top=1,
            ),
        ],
    )


def _scaling() -> Row:
    replicas = (
        ("kube_deployment_spec_replicas", "asked for"),
        ("kube_deployment_status_replicas_available", "ready"),
    )
    bounds = (("status_desired", "wanted"), ("spec_min", "minimum"), ("spec_max", "maximum"))
    return Row(
        "worker: is it being scaled?",
        [
            graph(
                "Slots wanted and there",
                "Wanted is what keeps the wait below the group's target. There stays below wanted: the group is at its "
                "maximum, or the autoscaler does nothing.",
                COUNT,
                Query(told("celery_group_slots_wanted", THESE, by="group"), "{{group}} wanted"),
                Query(_sum("celery_worker_pool_slots", "group"), "{{group}} there"),
            ),
            graph(
                "Work",
                "Messages that want a slot now: waiting or running. This is what KEDA divides by a pod's slots.",
                COUNT,
                Query(told("celery_group_work", THESE, by="group"), "{{group}}"),
            ),
            graph(
                "Arriving",
                "Tasks that come to the group's queues. A step up explains why slots are missing.",
                PER_SECOND,
                Query(told("celery_group_arrivals_per_second", THESE, by="group"), "{{group}}"),
            ),
            graph(
                "Seconds in a slot",
                "How long a task keeps a slot busy. Times what arrives, it is the least number of slots that can do "
                "the work.",
                SECONDS,
                Query(worst("celery_group_service_seconds", THESE, by="group"), "{{group}}"),
            ),
            graph(
                "Pods asked for and ready",
                f"Ready stays below asked for: see why pods don't start, below. {KUBE}",
                COUNT,
                *(Query(pods(metric, "$group"), f"{{{{group}}}} {word}") for metric, word in replicas),
            ),
            graph(
                "Autoscaler",
                f"What the HPA wants and may. Wanted at the maximum with work waiting: raise the maximum. {KUBE}",
                COUNT,
                *(
                    Query(scaler(f"kube_horizontalpodautoscaler_{metric}_replicas", "$group"), f"{{{{group}}}} {word}")
                    for metric, word in bounds
                ),
            ),
        ],
    )


def _pods() -> Row:
    pod = 'pod=~"(.*-)?worker-$group-.+"'
    last = of("kube_pod_container_status_last_terminated_reason", pod, 'reason="OOMKilled"')
    keda = 'scaledObject=~"(.*-)?worker-$group"'
    # KEDA's own label is called exported_namespace where its page is scraped without honor_labels.
    errors = " or ".join(
        f"sum by (scaledObject) (rate(keda_scaled_object_errors_total{{{match}, {keda}}}[$__rate_interval]))"
        for match in (
            'exported_namespace=~"$namespace", exported_namespace!=""',
            'exported_namespace="", namespace=~"$namespace"',
        )
    )
    return Row(
        "worker: what keeps pods away?",
        [
            graph(
                "Restarts in half an hour",
                "By pod, the ten highest. Red: look at the log of the container before (kubectl logs --previous). "
                f"{KUBE}",
                COUNT,
                Query(
                    f"topk(10, sum by (pod) (increase({of('kube_pod_container_status_restarts_total', pod)}[30m])))",
                    "{{pod}}",
                ),
                steps=((3, "red"),),
                span=8,
                top=3,
            ),
            graph(
                "Killed for memory",
                f"Pods whose last container was killed for its memory. Red: raise the limit, or find the task. {KUBE}",
                COUNT,
                Query(f"topk(10, max by (pod) ({last}))", "{{pod}}"),
                steps=((1, "red"),),
                span=8,
                top=1,
            ),
            graph(
                "KEDA's errors",
                "Looks at the work that failed; meanwhile the number of pods stays. Red: is the exporter there, may "
                "KEDA reach it? Source: KEDA.",
                PER_SECOND,
                Query(errors, "{{scaledObject}}"),
                steps=((0.01, "red"),),
                span=8,
                top=0.01,
            ),
        ],
    )
