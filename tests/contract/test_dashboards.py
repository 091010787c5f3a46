"""Dashboards are what Grafana's types allow, ask for metrics that there are, lead to each other and can be read."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from app.exporter.collector import BrokerCollector
from app.exporter.config import Settings
from app.runtime.metrics import page, tasks
from grafana.__main__ import FOLDER, main
from tests.conftest import ROOT

TEXTS = {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.json"))}
DASHBOARDS: dict[str, dict[str, Any]] = {name: json.loads(text) for name, text in TEXTS.items()}
PANELS = [(uid, one) for uid, dashboard in DASHBOARDS.items() for one in dashboard["panels"] if one["type"] != "row"]
RULES = sorted((ROOT / "helm" / "celery" / "files" / "rules").glob("*.yaml"))
COMPONENTS = ("broker", "backend", "queue", "worker", "beat", "flower", "exporter", "producer")
# An address in an alert, a runbook or a bookmark holds them.
UIDS = {"celery-overview", "celery-queue", "celery-task", "celery-workers", "celery-broker", "celery-beat"}
# Metrics of others: the beginning of their names, and how a panel that shows them says so.
FOREIGN = {"kube_": "Source: kube-state-metrics.", "keda_": "Source: KEDA.", "ALERTS": "Source: Prometheus itself."}
# Grafana's own.
BUILT_IN = {"__url_time_range", "__field.labels", "__value.text", "__rate_interval"}
SELECTOR = re.compile(r"\b([a-zA-Z_:][\w:]*)\{")

by_uid = pytest.mark.parametrize("uid", DASHBOARDS)
by_panel = pytest.mark.parametrize(("uid", "panel"), PANELS, ids=[f"{uid}: {one['title']}" for uid, one in PANELS])


def ours() -> set[str]:
    """Return the names on the pages of workers, beat and the exporter."""
    groups = json.dumps({"email": {"queues": ["email"], "slots": 2, "waitSeconds": 5}})
    exporter = BrokerCollector(Settings.from_environment({"EXPORTER_GROUPS": groups}))
    told = {f"{one.name}_total" if one.type == "counter" else one.name for one in exporter.describe()}
    counters = {f"{name}_total" for name in (*page.COUNTERS, tasks.SENT)}
    histograms = {f"{name}_{part}" for name in page.HISTOGRAMS for part in ("bucket", "sum", "count")}
    return told | counters | histograms | set(page.GAUGES)


OURS = ours()
LABELS = {
    "celery_queue_length": {"queue_name"},
    "celery_active_consumer_count": {"queue_name"},
} | {name: {"group"} for name in OURS if name.startswith("celery_group_")}


def expressions(dashboard: dict[str, Any]) -> list[str]:
    queries = [target["expr"] for one in dashboard["panels"] for target in one.get("targets", [])]
    variables = [one["query"]["query"] for one in dashboard["templating"]["list"] if one["type"] == "query"]
    return queries + variables + [one["expr"] for one in dashboard["annotations"]["list"]]


def metrics(expr: str) -> set[str]:
    return set(SELECTOR.findall(expr)) | set(re.findall(r"label_values\((\w+),", expr))


def variables(dashboard: dict[str, Any]) -> list[str]:
    return [one["name"] for one in dashboard["templating"]["list"]]


def links(thing: Any) -> list[str]:
    """Return every address in a piece of a dashboard."""
    if isinstance(thing, dict):
        own = [thing["url"]] if isinstance(thing.get("url"), str) else []
        return own + [url for value in thing.values() for url in links(value)]
    return [url for value in thing for url in links(value)] if isinstance(thing, list) else []


def test_the_files_are_what_the_programs_write() -> None:
    assert main(["--check"]) == 0


def test_the_chart_and_grafana_have_the_same_files() -> None:
    inside = ROOT / "helm" / "celery" / "files" / "dashboards"
    assert FOLDER.resolve() == inside
    assert not inside.is_symlink(), "Helm packages what lies in the chart"


@by_uid
def test_grafanas_types_read_all_of_it_and_write_it_again(uid: str) -> None:
    register_default_plugins()
    again = JSONEncoder(sort_keys=True, indent=1, ensure_ascii=False).encode(Dashboard.from_json(DASHBOARDS[uid]))
    assert json.loads(again) == DASHBOARDS[uid]


def test_the_addresses_stay() -> None:
    assert {one["uid"] for one in DASHBOARDS.values()} == UIDS == set(DASHBOARDS)


@by_uid
def test_an_address_of_a_panel_leads_to_one(uid: str) -> None:
    numbers = [one["id"] for one in DASHBOARDS[uid]["panels"]]
    assert sorted(numbers) == sorted(set(numbers))


@by_uid
def test_every_metric_is_on_a_page_of_ours_or_of_a_named_source(uid: str) -> None:
    asked = {name for expr in expressions(DASHBOARDS[uid]) for name in metrics(expr)}
    assert len(asked) >= 3
    assert {name for name in asked - OURS if not name.startswith(tuple(FOREIGN))} == set()


def test_every_metric_of_ours_but_a_few_is_on_a_dashboard() -> None:
    shown = {name for one in DASHBOARDS.values() for expr in expressions(one) for name in metrics(expr)}
    sums = {name for name in OURS if name.endswith("_sum")}
    # Slots of one pod: the slots that are there say more.
    assert OURS - shown - sums == {"celery_group_slots", "celery_task_runtime_count", "celery_exporter_up"} & OURS


@by_uid
def test_a_sum_leaves_out_no_group_or_queue(uid: str) -> None:
    for expr in expressions(DASHBOARDS[uid]):
        # The maximum is there for a second exporter; it must not be one over what is to be summed.
        for kept, name, chosen in re.findall(r"max by \(([\w, ]+)\) \((\w+)\{([^}]*)\}\)\)", expr):
            one = set(kept.split(", ")) | set(re.findall(r'(\w+)="', chosen))
            if f"sum (max by ({kept}) ({name}" in expr:
                assert LABELS.get(name, set()) <= one, expr


@by_panel
def test_a_panel_of_foreign_metrics_says_whose_they_are(uid: str, panel: dict[str, Any]) -> None:
    names = {name for target in panel["targets"] for name in metrics(target["expr"])}
    sources = {text for start, text in FOREIGN.items() if any(name.startswith(start) for name in names)}
    assert {text for text in FOREIGN.values() if text in panel["description"]} == sources


@by_uid
def test_every_variable_exists_and_is_used(uid: str) -> None:
    dashboard = DASHBOARDS[uid]
    known = variables(dashboard)
    text = json.dumps({key: value for key, value in dashboard.items() if key != "links"}).replace("$__all", "")
    used = set(re.findall(r"\$([a-z_]\w*)", text)) | {
        name.partition(":")[0] for name in re.findall(r"\$\{([^}]+)\}", text)
    }
    own = {name for name in used if not any(name.startswith(one) for one in BUILT_IN)}
    assert own == set(known)


@by_uid
def test_a_variable_depends_on_those_before_it(uid: str) -> None:
    before: set[str] = set()
    for one in DASHBOARDS[uid]["templating"]["list"]:
        if one["type"] == "query":
            assert one["datasource"]["uid"] == "${datasource}"
            assert {"datasource", *re.findall(r"\$(\w+)", one["query"]["query"])} <= before
        before.add(one["name"])


@by_uid
def test_every_dashboard_leads_to_every_other(uid: str) -> None:
    heads = DASHBOARDS[uid]["links"]
    assert {one["url"] for one in heads} == {f"/d/{other}" for other in UIDS - {uid}}
    assert all(one["includeVars"] and one["keepTime"] for one in heads)


@by_uid
def test_a_click_leads_to_a_dashboard_with_its_variable_filled_in(uid: str) -> None:
    for url in links(DASHBOARDS[uid]["panels"]):
        assert urlsplit(url).path.removeprefix("/d/") in UIDS
        given = [name.removeprefix("var-") for name in parse_qs(urlsplit(url).query) if name.startswith("var-")]
        assert len(given) == 1
        assert set(given) <= set(variables(DASHBOARDS[urlsplit(url).path.removeprefix("/d/")]))
        label = re.search(r"__field\.labels\.(\w+)", url)
        if label:
            assert all(f"by ({label[1]}" in one["expr"] for one in clicked(DASHBOARDS[uid], url)), "the label is there"


def clicked(dashboard: dict[str, Any], url: str) -> list[dict[str, Any]]:
    """Return the queries of the panels whose lines lead to `url`, without those of limits, which have no such label."""
    return [
        target
        for panel in dashboard["panels"]
        if url in links(panel)
        for target in panel["targets"]
        if "{{" in target["legendFormat"]
    ]


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_what_an_alert_leads_to_is_there(path: Any) -> None:
    for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
        for rule in filter(lambda one: "alert" in one, group["rules"]):
            # Labels are filled in where it rings.
            target = urlsplit(re.sub(r"\{\{.*?\}\}", "x", rule["annotations"]["dashboard_url"]))
            uid = target.path.removeprefix("/d/")
            assert uid in UIDS
            given = {name.removeprefix("var-") for name in parse_qs(target.query)}
            assert given <= set(variables(DASHBOARDS[uid]))


@by_panel
def test_every_panel_can_be_read(uid: str, panel: dict[str, Any]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"]
    assert panel["title"]
    assert len(panel["description"]) > 40
    assert panel["datasource"]["uid"] == "${datasource}"
    assert all(target["legendFormat"] for target in panel["targets"])
    if panel["type"] == "timeseries":
        assert panel["options"]["legend"]["showLegend"]
        assert defaults["min"] == 0
    # A quarter of the width at least, but for a number.
    assert panel["gridPos"]["w"] >= (3 if panel["type"] == "stat" else 8)


@by_panel
def test_red_is_explained(uid: str, panel: dict[str, Any]) -> None:
    colours = {step["color"] for step in panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])}
    mappings = panel["fieldConfig"]["defaults"].get("mappings", [])
    colours |= {one["color"] for mapping in mappings for one in mapping["options"].values()}
    assert ("red" not in colours) or re.search(r"\b[Rr]ed\b", panel["description"])
    if panel["type"] == "stat" and "red" not in colours:
        assert re.search(r"no red|Orange", panel["description"])


@by_uid
def test_panels_fill_the_grid_and_none_covers_another(uid: str) -> None:
    taken: set[tuple[int, int]] = set()
    for one in DASHBOARDS[uid]["panels"]:
        grid = one["gridPos"]
        cells = {(grid["x"] + x, grid["y"] + y) for x in range(grid["w"]) for y in range(grid["h"])}
        assert not cells & taken
        taken |= cells
    rows = {y for _, y in taken}
    assert len(taken) == 24 * len(rows), "a gap"


@by_uid
def test_rows_are_named_by_their_component(uid: str) -> None:
    titles = [one["title"] for one in DASHBOARDS[uid]["panels"] if one["type"] == "row"]
    assert all(title.split(":")[0].split(",")[0] in COMPONENTS for title in titles)
    assert DASHBOARDS[uid]["panels"][0]["type"] == "row"
