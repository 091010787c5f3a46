"""Alert rules read numbers that somebody tells, our pages or a named page of others, and those of one release only."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from app.queue_cli import main as queue_cli
from app.runtime.metrics.numbers import BUCKETS
from tests.conftest import ROOT
from tests.support.helm import CHART, DEFAULTS

RULES = sorted((CHART / "files" / "rules").glob("*.yaml"))
GROUPS = [group for path in RULES for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]]
EXPRESSIONS = [(group["name"], rule["expr"]) for group in GROUPS for rule in group["rules"]]
RECORDED = {rule["record"] for group in GROUPS for rule in group["rules"] if "record" in rule}
SOURCES = {"exporter", "workers", "beat", "kubernetes", "autoscaler", "keda"}
# Names of others, each with where it is documented.
FOREIGN = {
    "kubernetes": {  # kube-state-metrics, docs/metrics/workload and docs/metrics/autoscale
        "kube_deployment_status_replicas_available",
        "kube_horizontalpodautoscaler_spec_max_replicas",
        "kube_horizontalpodautoscaler_status_condition",
        "kube_horizontalpodautoscaler_status_desired_replicas",
        "kube_pod_container_status_last_terminated_reason",
        "kube_pod_container_status_restarts_total",
        "kube_pod_container_status_waiting_reason",
        "kube_pod_status_unschedulable",
    },
    # KEDA, pkg/metricscollector/prommetrics.go
    "keda": {"keda_scaled_object_errors_total", "keda_scaler_active"},
}
NAME = r"\b((?:celery|kube|keda)_[a-z0-9_]+|celery:[a-z0-9_:]+)"


def names(folder: str) -> set[str]:
    """Return the names of metrics that the programs of a folder write, as a page has them."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / folder).rglob("*.py"))
    found = set(re.findall(r'"(celery_[a-z_]+)"', text))
    return found | {f"{name}{end}" for name in found for end in ("_total", "_bucket", "_count", "_sum")}


OURS = {"exporter": names("app/exporter"), "workers": names("app/runtime/metrics")}


def read(expression: str) -> set[str]:
    return set(re.findall(NAME, expression))


@pytest.mark.parametrize(("group", "expression"), EXPRESSIONS)
def test_a_rule_reads_only_what_the_sources_in_its_groups_name_tell(group: str, expression: str) -> None:
    sources = set(group.rpartition(".")[2].split("+"))
    assert sources <= SOURCES
    told = set().union(RECORDED, *(OURS.get(source, set()) | FOREIGN.get(source, set()) for source in sources))
    assert read(expression) - told == set()
    assert read(expression)


def test_a_group_that_reads_what_another_recorded_needs_the_sources_of_that_one() -> None:
    recorded = {rule["record"]: group["name"] for group in GROUPS for rule in group["rules"] if "record" in rule}
    for group, expression in EXPRESSIONS:
        needed = [set(recorded[name].rpartition(".")[2].split("+")) for name in read(expression) & set(recorded)]
        assert set().union(*needed) <= set(group.rpartition(".")[2].split("+")), expression


@pytest.mark.parametrize(("group", "expression"), EXPRESSIONS)
def test_every_selector_has_the_matcher_in_whose_place_the_chart_puts_its_release(group: str, expression: str) -> None:
    for found in re.finditer(NAME + r"(\{[^}]*\})?", expression):
        name, matchers = found.groups()
        mark = 'namespace=~".*"' if name.startswith("celery") else 'namespace=~".+"'
        assert mark in (matchers or ""), f"{name} of {group}"
        if not name.startswith("celery"):
            assert '=~".*celery-' in matchers or '=~"(keda-hpa-)?.*celery-' in matchers, f"{name} of {group}"


def test_every_dashboard_that_an_alert_links_to_exists_and_has_the_variables_of_the_link() -> None:
    boards = [json.loads(path.read_text(encoding="utf-8")) for path in (CHART / "files" / "dashboards").glob("*.json")]
    variables = {board["uid"]: {item["name"] for item in board["templating"]["list"]} for board in boards}
    links = [rule["annotations"]["dashboard_url"] for group in GROUPS for rule in group["rules"] if "alert" in rule]
    for link in links:
        uid = re.match(r"/d/([a-z-]+)", link)
        assert uid, link
        assert set(re.findall(r"var-([a-z_]+)=", link)) <= variables[uid[1]], link


def test_every_objective_that_the_chart_takes_is_a_bound_by_which_waits_are_counted() -> None:
    schema = yaml.safe_load((CHART / "values.schema.json").read_text(encoding="utf-8"))
    allowed = [
        kind["properties"]["waitObjectiveSeconds"]["enum"]
        for kind in schema["$defs"].values()
        if "waitObjectiveSeconds" in kind.get("properties", {})
    ]
    assert allowed
    assert set().union(*allowed) <= set(BUCKETS)
    assert DEFAULTS["workers"]["defaults"]["waitObjectiveSeconds"] in BUCKETS


def test_every_command_of_the_runbook_that_looks_into_queues_exists() -> None:
    text = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    used = set(re.findall(r"`q ([a-z-]+)", text))
    assert used >= {"inspect", "pause", "resume", "dead-letters", "replay"}
    assert used - set(queue_cli.commands) == set()


def test_every_value_that_the_runbook_names_is_one_of_the_chart() -> None:
    text = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    for name in re.findall(r"`((?:broker|monitoring|metrics|beat|networkPolicy|image)\.[A-Za-z.]+)`", text):
        place = DEFAULTS
        for part in name.split("."):
            assert part in place, name
            place = place[part]
