"""Variables -> PromQL: the parts that many panels are made of.

Nothing here needs recording rules: a dashboard works where nobody installed the alerts. Two exporters may be there for
the time of a rollout, and a namespace that was not chosen means all: so a number of the exporter is first the maximum
within a namespace, then the sum over them.
"""

from __future__ import annotations

# kube-state-metrics knows a group by the name of its Deployment, which ends in this.
DEPLOYMENT = "(.*-)?worker-"
NAMESPACE = 'namespace=~"$namespace"'
OUTCOMES = ("succeeded", "failed", "retried", "revoked", "rejected")


def of(metric: str, *matchers: str) -> str:
    """Return a selector of `metric` in the chosen namespace."""
    return f"{metric}{{{', '.join((NAMESPACE, *matchers))}}}"


def told(metric: str, *matchers: str, by: str = "", each: str = "") -> str:
    """Return what the exporters of all chosen namespaces tell, summed `by` a label, or in all.

    each: the label of a number that there are many of, where all of them are summed.
    """
    labels = ", ".join(("namespace", *filter(None, (by or each,))))
    total = f"sum by ({by})" if by else "sum"
    return f"{total} (max by ({labels}) ({of(metric, *matchers)}))"


def worst(metric: str, *matchers: str, by: str = "") -> str:
    """Return the highest number that is told, `by` a label or in all."""
    return f"max by ({by}) ({of(metric, *matchers)})" if by else f"max({of(metric, *matchers)})"


def since(metric: str) -> str:
    """Return the seconds since a time that is told, of the namespace where that is longest ago."""
    return f"max(time() - max by (namespace) ({of(metric)}))"


def rate(metric: str, *matchers: str, by: str = "", over: str = "$__rate_interval") -> str:
    """Return the increase per second of a counter of the workers, summed `by` labels or in all."""
    total = f"sum by ({by})" if by else "sum"
    return f"{total} (rate({of(metric, *matchers)}[{over}]))"


def quantile(share: float, metric: str, *matchers: str, by: str = "") -> str:
    """Return a quantile of a histogram of the workers, `by` a label or of all."""
    labels = f"{by}, le" if by else "le"
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', *matchers, by=labels)})"


def failing(*matchers: str, by: str = "", over: str = "$__rate_interval") -> str:
    """Return the share of ended tasks that failed for good; nothing where none ended."""
    failed = rate("celery_task_failed_total", *matchers, by=by, over=over)
    succeeded = rate("celery_task_succeeded_total", *matchers, by=by, over=over)
    # The page has no number of failures before the first, so the others' zero stands in.
    none = f"0 * {succeeded}"
    return f"({failed} or {none}) / (({failed} or {none}) + {succeeded} > 0)"


def late(*matchers: str) -> str:
    """Return how long the oldest message waits as a share of its queue's objective; a paused queue is meant to wait."""
    age, objective = "celery_queue_oldest_age_seconds", "celery_queue_wait_objective_seconds"
    joint = "namespace, queue_name"
    return (
        f"max by (queue_name) ((max by ({joint}) ({of(age, *matchers)})"
        f" unless on ({joint}) ({of('celery_queue_paused', *matchers)} == 1))"
        f" / on ({joint}) max by ({joint}) ({of(objective, *matchers)}))"
    )


def too_late(queue: str, over: str) -> str:
    """Return the share of tasks that started after their queue's objective, which must be a bound of the histogram."""
    joint, wait = "namespace, queue_name", "celery_task_queue_wait_time"
    objective = f"max by ({joint}) ({of('celery_queue_wait_objective_seconds', queue)})"
    # The label of a bound is a float, 30.0.
    bound = f'label_replace(count_values by ({joint}) ("le", {objective}), "le", "$1.0", "le", "([0-9]+)")'
    in_time = f"{rate(f'{wait}_bucket', queue, by=f'{joint}, le', over=over)} and on ({joint}, le) {bound}"
    return f"1 - sum({in_time}) / ({rate(f'{wait}_count', queue, over=over)} > 0)"


def pods(metric: str, group: str = ".+", *matchers: str) -> str:
    """Return a number of kube-state-metrics about the groups' Deployments, with the label group."""
    chosen = of(metric, f'deployment=~"{DEPLOYMENT}{group}"', *matchers)
    return f'sum by (group) (label_replace({chosen}, "group", "$1", "deployment", ".*worker-(.+)"))'


def scaler(metric: str, group: str = ".+", *matchers: str) -> str:
    """Return a number of kube-state-metrics about the groups' HPAs, with the label group."""
    chosen = of(metric, f'horizontalpodautoscaler=~"(.*-)?worker-{group}"', *matchers)
    return f'max by (group) (label_replace({chosen}, "group", "$1", "horizontalpodautoscaler", ".*worker-(.+)"))'
