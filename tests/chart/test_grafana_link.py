"""`make deploy ENV=kind` links alerts to the Grafana that it installs, unless the user's values say otherwise."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from scripts import toolbox
from scripts.deploy import environment, monitoring, release
from tests.support import helm

HERE = "http://127.0.0.1:13000"


def link(mine: Path | None, generated: str) -> str:
    """Return what an alert is linked to by Helm with the options of `make deploy`; `mine` are the user's values."""
    chosen = environment.load("kind", values=str(mine or ""))
    command = [str(toolbox.find("helm")), "template", "celery", str(chosen.chart), "--kube-version", "1.37.0"]
    command += [*release.files(chosen, bool(generated)), "--show-only", "templates/monitoring/rules.yaml"]
    done = subprocess.run(command, input=generated, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    files = yaml.safe_load(done.stdout)["data"].values()
    rules = [rule for file in files for group in yaml.safe_load(file)["groups"] for rule in group["rules"]]
    links = {rule["annotations"]["dashboard_url"].partition("/d/")[0] for rule in rules if "alert" in rule}
    (only,) = links
    return only


def beside(**values: object) -> list[helm.Thing]:
    chosen = environment.load("kind").monitoring
    assert chosen
    layers = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in chosen.values]
    return list(helm.render(helm.merged([*layers, values]), chart=helm.MONITORING, release="monitoring").values())


def test_the_link_is_the_port_of_this_machine_that_leads_to_grafana() -> None:
    assert monitoring.grafana_url(beside(), {30900: 19090, 30300: 13000}) == HERE


@pytest.mark.parametrize(
    ("values", "ports"),
    [({"grafana": {"enabled": False}}, {30300: 13000}), ({}, {30900: 19090})],
    ids=["left-out", "not-mapped"],
)
def test_there_is_none_where_nothing_leads_to_grafana(values: dict[str, object], ports: dict[int, int]) -> None:
    assert monitoring.grafana_url(beside(**values), ports) == ""


def test_alerts_are_linked_to_it(tmp_path: Path) -> None:
    generated = monitoring.link(HERE)
    assert link(None, generated) == HERE
    assert link(None, "") == ""
    other = tmp_path / "other.yaml"
    other.write_text("api: {replicas: 1}\n")
    assert link(other, generated) == HERE


@pytest.mark.parametrize("text", ["https://grafana.example.com", ""], ids=["elsewhere", "nowhere"])
def test_a_users_own_link_wins(tmp_path: Path, text: str) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(json.dumps({"monitoring": {"grafanaUrl": text}}))
    assert link(mine, monitoring.link(HERE)) == text
