"""The chart hands Grafana's sidecar the very dashboards of grafana/, when that is asked for."""

from __future__ import annotations

from typing import Any

from tests.conftest import ROOT
from tests.support.helm import PREFIX, Objects, Thing, render

FOLDER = ROOT / "grafana" / "dashboards"


def rendered(**more: Any) -> Objects:
    return render({"monitoring": {"dashboards": {"enabled": True, **more}}})


def dashboards(objects: Objects) -> dict[str, Thing]:
    return {name: thing for name, thing in objects.of("ConfigMap").items() if name.startswith(f"{PREFIX}-dashboard-")}


def test_there_are_none_until_they_are_asked_for() -> None:
    assert dashboards(render()) == {}


def test_each_dashboard_is_there_to_the_letter() -> None:
    found = [item for thing in dashboards(rendered()).values() for item in thing["data"].items()]
    assert dict(found) == {path.name: path.read_text(encoding="utf-8").rstrip("\n") for path in FOLDER.glob("*.json")}
    assert len(found) == 6


def test_the_sidecar_finds_them_by_the_usual_label_or_another() -> None:
    for thing in dashboards(rendered()).values():
        assert thing["metadata"]["labels"]["grafana_dashboard"] == "1"
    for thing in dashboards(rendered(labels={"grafana_dashboard": None, "our-grafana": "yes"})).values():
        labels = thing["metadata"]["labels"]
        assert labels["our-grafana"] == "yes"
        assert "grafana_dashboard" not in labels


def test_a_config_map_has_room_for_each() -> None:
    for thing in dashboards(rendered()).values():
        assert sum(len(text) for text in thing["data"].values()) < 256 * 1024
