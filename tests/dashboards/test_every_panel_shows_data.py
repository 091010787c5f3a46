"""Every query of every panel is asked of a real Prometheus that has read the pages of a real run, and returns data."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from grafana.ask import Server, choices, fill, panels
from grafana.picture import draw
from tests.conftest import ROOT

# The first test waits for the run.
pytestmark = pytest.mark.timeout(400)

DASHBOARDS = [json.loads(path.read_text()) for path in sorted((ROOT / "grafana" / "dashboards").glob("*.json"))]
PANELS = [(dashboard, panel) for dashboard in DASHBOARDS for panel in panels(dashboard)]
# The queue and the task of the run to which most happens; other variables take what there is, or all.
WANTED = {
    "celery-queue": {"queue": "email"},
    "celery-task": {"task": "tasks.email.send_email"},
}
# Pages that no process of this machine has. Their queries are asked here, too, and must return nothing but an answer.
FOREIGN = re.compile(r"\b(kube|keda)_\w+")


def chosen(prometheus: Server, dashboard: dict[str, Any]) -> dict[str, str]:
    return choices(prometheus, dashboard, WANTED.get(dashboard["uid"], {}))


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard["uid"])
def test_every_variable_has_values(prometheus: Server, dashboard: dict[str, Any]) -> None:
    assert all(chosen(prometheus, dashboard).values())


@pytest.mark.parametrize(("dashboard", "panel"), PANELS, ids=[f"{one['uid']}: {two['title']}" for one, two in PANELS])
def test_every_query_returns_data(prometheus: Server, dashboard: dict[str, Any], panel: dict[str, Any]) -> None:
    values = chosen(prometheus, dashboard)
    empty = []
    for target in panel["targets"]:
        expr = fill(target["expr"], values)
        assert "$" not in re.sub(r'"\$\d[^"]*"', "", expr), expr
        found = [series for series in prometheus.range(expr, target["legendFormat"]) if series.points]
        names = [series.name for series in found]
        assert panel["type"] == "table" or len(names) == len(set(names)), f"two lines have one name: {names}"
        assert all(names), "a line has no name"
        if FOREIGN.search(expr):
            assert found == [], "who tells this here?"
        elif not found:
            empty.append(expr)
    assert empty == []


def test_what_can_not_be_asked_here_is_said(prometheus: Server) -> None:
    unseen = {panel["title"] for _, panel in PANELS if all(FOREIGN.search(one["expr"]) for one in panel["targets"])}
    assert unseen == {
        "Autoscaler",
        "KEDA's errors",
        "Killed for memory",
        "Pods asked for and ready",
        "Pods by group",
        "Restarts in half an hour",
    }


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard["uid"])
def test_annotations_are_queries(prometheus: Server, dashboard: dict[str, Any]) -> None:
    for annotation in dashboard["annotations"]["list"]:
        assert prometheus.range(fill(annotation["expr"], chosen(prometheus, dashboard))) == []


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard["uid"])
def test_a_picture_is_drawn(prometheus: Server, dashboard: dict[str, Any]) -> None:
    """DASHBOARD_PICTURES names the folder where it is kept."""
    values = chosen(prometheus, dashboard)
    found = {
        panel["id"]: [
            prometheus.range(fill(one["expr"], values), fill(one["legendFormat"], values)) for one in panel["targets"]
        ]
        for panel in panels(dashboard)
    }
    picture = draw(
        json.loads(fill(json.dumps(dashboard), {name: values[name] for name in values if name != "namespace"})), found
    )
    assert "NaN" not in picture
    ElementTree.fromstring(picture)
    if "DASHBOARD_PICTURES" in os.environ:
        (Path(os.environ["DASHBOARD_PICTURES"]) / f"{dashboard['uid']}.svg").write_text(picture, encoding="utf-8")
