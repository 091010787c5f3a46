"""The examples are what people copy: each says when, and renders what its golden file shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import golden, values_table
from tests.support.helm import CHART, EXAMPLES


def test_the_golden_files_are_what_the_chart_renders() -> None:
    assert golden.main(["--check"]) == 0


def test_a_stale_an_orphaned_and_a_missing_golden_file_are_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(golden, "GOLDEN", tmp_path)
    golden.main([])
    stale, missing, *_ = sorted(tmp_path.glob("*.yaml"))
    stale.write_text(stale.read_text(encoding="utf-8").replace("replicas: 1", "replicas: 2"), encoding="utf-8")
    missing.unlink()
    (tmp_path / "gone.yaml").write_text("", encoding="utf-8")
    assert golden.main(["--check"]) == 1
    told = capsys.readouterr().err
    for name in (stale.name, missing.name, "gone.yaml"):
        assert f"tests/golden/{name} is out of date: run make golden" in told
    golden.main([])
    assert golden.main(["--check"]) == 0
    assert not (tmp_path / "gone.yaml").exists()


@pytest.mark.parametrize("case", EXAMPLES)
def test_an_example_says_when_it_is_wanted_and_how_it_is_installed(case: str) -> None:
    text = (CHART / "examples" / case / "README.md").read_text(encoding="utf-8")
    title, _, rest = text.partition("\n\n")
    assert title.startswith("# ")
    assert rest.startswith(("You want this when ",))
    assert f"--values helm/celery/examples/{case}/values.yaml" in text


def test_the_table_of_values_is_up_to_date() -> None:
    assert values_table.main(["--check"]) == 0


def test_a_stale_table_of_values_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(values_table, "DOCS", tmp_path)
    assert values_table.main(["--check"]) == 1
    told = capsys.readouterr().err
    assert "docs/values.md is out of date: run make docs" in told
    assert "docs/values-monitoring.md is out of date" in told
    values_table.main([])
    assert values_table.main(["--check"]) == 0


def test_the_table_has_each_value_with_its_default_and_the_comment_above_it() -> None:
    table = values_table.table(
        "# web: shows things.\nweb:\n  # Seconds,\n  # at most.\n  wait: 5\n  list:\n    - {a: b}\n",
        "shop",
    )
    assert "## web\n\nshows things.\n" in table
    assert "| `web.wait` | `5` | Seconds, at most. |" in table
    assert "| `web.list` | `[{a: b}]` |  |" in table
