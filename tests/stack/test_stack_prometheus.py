"""The stack's Prometheus reads every page, and knows the alerts that can ring here; without one `up` says so."""

from __future__ import annotations

import os
from typing import Any

import httpx
import pytest

from scripts import toolbox
from scripts.stack import prometheus
from scripts.stack.place import PAGES
from tests.support.stack import Stack, stack_command, until

HERE = pytest.mark.skipif(prometheus.program() is None, reason="no Prometheus: python -m scripts.toolbox prometheus")


def ask(stack: Stack, path: str, **query: str) -> Any:
    answer = httpx.get(f"{stack.place.url('prometheus')}/api/v1/{path}", params=query)
    return answer.raise_for_status().json()["data"]


def numbers(stack: Stack, query: str, label: str) -> dict[str, float]:
    return {one["metric"][label]: float(one["value"][1]) for one in ask(stack, "query", query=query)["result"]}


@HERE
def test_it_reads_every_page(stack: Stack) -> None:
    assert stack.started["addresses"]["prometheus"] == stack.place.url("prometheus")
    expected = {f"celery-{name}-0": 1.0 for name in (*PAGES, "exporter")}
    until(lambda: numbers(stack, "up", "pod") == expected, 30, f"up is {expected}")


@HERE
def test_what_the_api_sends_is_counted_once_and_the_dashboards_find_it(stack: Stack) -> None:
    query = 'sum by (pod) (celery_task_sent_total{name="tasks.email.send_email"})'
    until(lambda: numbers(stack, query, "pod").get("celery-api-0", 0) >= 1, 30, "the mail of `up` is counted")
    assert "celery-worker-email-0" not in numbers(stack, query, "pod")
    namespaces = numbers(stack, 'count by (namespace) (celery_queue_length{queue_name="email"})', "namespace")
    assert namespaces == {prometheus.NAMESPACE: 1}


@HERE
def test_it_knows_the_alerts_and_each_can_be_asked(stack: Stack) -> None:
    def rules() -> list[dict[str, Any]]:
        return [rule for group in ask(stack, "rules")["groups"] for rule in group["rules"]]

    until(lambda: {rule["health"] for rule in rules()} == {"ok"}, 60, "every rule was looked at and is well")
    alerts = {rule["name"] for rule in rules() if rule["type"] == "alerting"}
    assert {"CeleryTaskFails", "CeleryBeatSilent", "CeleryQueueWithoutConsumers"} <= alerts
    # Nobody tells of them here, and these would say so for ever.
    assert not {"CeleryKubeStateMetricsAbsent", "CeleryKedaMetricsAbsent", "CeleryWorkersNotScraped"} & alerts


def test_where_there_is_none_up_says_so_and_starts_the_rest(own_shell: dict[str, str], tmp_path: Any) -> None:
    found = toolbox.present("prometheus")
    # Neither on PATH nor in a cache; Redis is a package of this environment.
    kept = [one for one in own_shell["PATH"].split(os.pathsep) if found is None or one != str(found.parent)]
    shell = own_shell | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": os.pathsep.join(kept)}
    try:
        ran = stack_command(shell, "up")
        assert ran.returncode == 0, ran.stderr
        assert prometheus.MISSING in ran.stdout
        assert "ready" in ran.stdout
        assert "http://127.0.0.1:" + shell["STACK_PROMETHEUS_PORT"] not in ran.stdout
    finally:
        assert stack_command(shell, "down", "--now").returncode == 0
