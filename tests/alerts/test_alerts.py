"""Every alert rings in one case, stays silent in another, and has its page of the runbook; promtool plays the cases."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import toolbox
from tests.conftest import ROOT

FOLDER = Path(__file__).parent
CASES = sorted(FOLDER.glob("*.yaml"))
RULES = sorted((ROOT / "helm" / "celery" / "files" / "rules").glob("*.yaml"))
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
# What is folded away with `bool`, so that it decides nothing any more.
COMPARISON = re.compile(r" (>=|<=|==|!=|>|<) ")

Thing = dict[str, Any]


def load(path: Path) -> Thing:
    found: Thing = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


GROUPS = [group for path in RULES for group in load(path)["groups"]]
ALERTS = {rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule}


def promtool(*words: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [str(toolbox.find("promtool")), *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)


def checks(alert: str) -> Iterator[Thing]:
    for path in CASES:
        for case in load(path)["tests"]:
            yield from (check for check in case.get("alert_rule_test", []) if check["alertname"] == alert)


def test_promtool_takes_the_rules() -> None:
    ran = promtool("check", "rules", "--lint=all", "--lint-fatal", *RULES)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_every_case_ends_as_it_should(path: Path) -> None:
    ran = promtool("test", "rules", path)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_cases_evaluate_the_groups_in_an_order(path: Path) -> None:
    # promtool's own order is by chance, and what is recorded would come a minute late in some runs.
    assert sorted(load(path)["group_eval_order"]) == sorted(group["name"] for group in GROUPS)


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_a_case_that_rings_and_one_that_does_not(alert: str) -> None:
    assert {bool(check["exp_alerts"]) for check in checks(alert)} == {True, False}
    named = [case["name"] for path in CASES for case in load(path)["tests"]]
    assert any(name.startswith(f"{alert} stays silent: ") for name in named)


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_says_what_is_the_matter_and_where_to_read_on(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{alert.lower()}"


def test_the_runbook_has_a_heading_for_each_alert_and_for_nothing_else() -> None:
    assert sorted(re.findall(r"^### (.+)$", RUNBOOK, re.MULTILINE)) == sorted(ALERTS)


def test_every_link_within_the_runbook_leads_to_a_heading() -> None:
    assert set(re.findall(r"\]\(#(\w+)\)", RUNBOOK)) - {alert.lower() for alert in ALERTS} == set()


@pytest.mark.parametrize("alert", ALERTS)
def test_each_page_of_the_runbook_says_what_it_means_how_to_see_it_and_what_to_do(alert: str) -> None:
    page = RUNBOOK.partition(f"### {alert}\n")[2].partition("\n#")[0]
    assert [word for word in ("**Means**", "**See**", "**Do**") if word not in page] == []


def broken() -> Iterator[tuple[str, Path, str, Thing]]:
    """Yield ways to break each rule: its name, its file, what was done, and the rule after it."""
    for path in RULES:
        for rule in (rule for group in load(path)["groups"] for rule in group["rules"]):
            name, expression = rule.get("alert") or rule["record"], rule["expr"]
            for number, found in enumerate(COMPARISON.finditer(expression)):
                changed = f"{expression[: found.end()]}bool {expression[found.end() :]}"
                yield name, path, f"comparison-{number}-always-true", rule | {"expr": changed}
            if "alert" in rule:
                yield name, path, "never", rule | {"expr": f"({expression}) unless on () vector(1)"}
            if "for" in rule:
                yield name, path, "at-once", rule | {"for": "0s"}
                yield name, path, "later", rule | {"for": rule["for"].replace("m", "h") if "m" in rule["for"] else "9h"}


@pytest.mark.parametrize(
    ("name", "path", "rule"),
    [pytest.param(name, path, rule, id=f"{name}-{how}") for name, path, how, rule in broken()],
)
def test_a_rule_that_is_broken_in_any_way_is_seen(tmp_path: Path, name: str, path: Path, rule: Thing) -> None:
    cases = tmp_path / "tests" / "alerts" / path.name
    cases.parent.mkdir(parents=True)
    cases.write_bytes((FOLDER / path.name).read_bytes())
    rules = tmp_path / "helm" / "celery" / "files" / "rules"
    rules.mkdir(parents=True)
    for file in {path, path.with_name("queues.yaml")}:
        (rules / file.name).write_text(yaml.safe_dump(replaced(load(file), name, rule)), encoding="utf-8")
    only = ["--run", f"^{name} "] if "alert" in rule else []
    ran = promtool("test", "rules", *only, cases, cwd=tmp_path)
    assert ran.returncode != 0, "no case of tests/alerts sees the difference"
    assert "FAILED" in ran.stdout + ran.stderr, ran.stdout + ran.stderr


# What makes a rule know of autoscalers, taken out of it; the cases of autoscaling.yaml must see each.
UNAWARE = {
    "no time for a pod's start": ("CeleryQueueWithoutConsumers", "for", "5m", "0s"),
    "no time for a burst": ("CeleryQueueTaskLate", "for", "5m", "1m"),
    "a group at zero is broken": ("CeleryScalerInactive", "expr", "== 0", "== 7"),
    "no time at the maximum": ("CeleryGroupAtMaximum", "for", "10m", "1m"),
    "a rare task is a rate": ("CeleryQueueWaitBudgetBurnsFast", "expr", "> 20", "> 1"),
    "a group at zero has pages": ("CeleryWorkersNotScraped", "expr", ") > 0", ") >= 0"),
}


@pytest.mark.parametrize("how", UNAWARE)
def test_a_rule_that_knows_nothing_of_autoscalers_would_ring(tmp_path: Path, how: str) -> None:
    name, key, old, new = UNAWARE[how]
    cases = tmp_path / "tests" / "alerts" / "autoscaling.yaml"
    cases.parent.mkdir(parents=True)
    cases.write_bytes((FOLDER / "autoscaling.yaml").read_bytes())
    rules = tmp_path / "helm" / "celery" / "files" / "rules"
    rules.mkdir(parents=True)
    assert old in ALERTS[name][key]
    rule = ALERTS[name] | {key: ALERTS[name][key].replace(old, new)}
    for file in RULES:
        (rules / file.name).write_text(yaml.safe_dump(replaced(load(file), name, rule)), encoding="utf-8")
    ran = promtool("test", "rules", cases, cwd=tmp_path)
    assert f'alertname="{name}"' in ran.stdout + ran.stderr


def replaced(rules: Thing, name: str, rule: Thing) -> Thing:
    for group in rules["groups"]:
        group["rules"] = [rule if name in (old.get("alert"), old.get("record")) else old for old in group["rules"]]
    return rules
