"""A report says what was sold, appears whole, and nothing in it is run by a browser or a spreadsheet."""

from __future__ import annotations

import csv
import io
import os
import re
import stat
import time
from datetime import datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.store import PAID, Item, Order, Store
from app.tasks import _files
from app.tasks._chart import bars
from app.tasks.orders import process_order, process_payment
from app.tasks.report import KINDS, as_csv, as_html, defused, generate, weekly_report
from tests.support.world import Outside

SHANGHAI = ZoneInfo("Asia/Shanghai")


def an_order(**changes: Any) -> Order:
    fields: dict[str, Any] = {
        "id": "o-1",
        "customer": "c-1",
        "email": "jo@example.com",
        "items": (Item("book", 1),),
        "status": PAID,
        "total": 2500,
        "charge": "ch_1",
        "created": 1_700_000_000.0,
    }
    return Order(**{**fields, **changes})


class Elements(HTMLParser):
    """The names of a page's elements, as a browser reads them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.names.append(tag)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_a_report_counts_orders_and_sums_the_paid_ones(shop: Store, sandbox: Outside, order: str) -> None:
    process_order.apply((order,)).get()
    process_payment.apply((order,)).get()
    shop.create_order("o-2", "c-2", "al@example.com", [Item("lamp", 1)])
    result = generate.apply(("weekly",), task_id="t-1").get()
    assert (result["kind"], result["orders"], result["revenue"]) == ("weekly", 2, 5300)
    rows = list(csv.DictReader(io.StringIO(Path(result["csv"]).read_text(encoding="utf-8"))))
    assert [(row["order"], row["status"], row["total"]) for row in rows] == [
        ("o-1", "paid", "53.00"),
        ("o-2", "new", "0.00"),
    ]
    page = Path(result["html"]).read_text(encoding="utf-8")
    svg = re.search(r"<svg.*</svg>", page, re.DOTALL)
    assert svg is not None
    assert len(ElementTree.fromstring(svg[0]).findall("{http://www.w3.org/2000/svg}rect")) == 7
    assert "2 orders, 53.00 paid" in page


def test_orders_outside_the_days_of_a_report_are_not_in_it(shop: Store, sandbox: Outside, order: str) -> None:
    shop.redis.zadd(shop.keys.orders, {order: time.time() - 8 * 86400})
    assert generate.apply(("weekly",)).get()["orders"] == 0
    assert generate.apply(("monthly",)).get()["orders"] == 1


def test_the_weekly_report_of_beat_is_a_weekly_report(shop: Store, sandbox: Outside) -> None:
    assert weekly_report.apply(("weekly",)).get()["kind"] == "weekly"


@pytest.mark.parametrize("task", [generate, weekly_report])
@pytest.mark.parametrize("kind", ["", "yearly", "../../etc/passwd"])
def test_another_kind_is_refused_with_the_kinds_there_are(shop: Store, sandbox: Outside, task: Any, kind: str) -> None:
    with pytest.raises(ValueError, match="write one of daily, weekly, monthly"):
        task.apply((kind,)).get()


def test_a_task_that_runs_again_writes_over_its_own_files(shop: Store, sandbox: Outside, tmp_path: Path) -> None:
    for _ in range(2):
        generate.apply(("daily",), task_id="../t-1").get()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 2
    assert [name.rpartition(".")[2] for name in names] == ["csv", "html"]


def test_a_write_that_fails_leaves_the_old_file_and_no_part(
    configure: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(reports_dir=str(tmp_path))
    path = _files.write("x.csv", "old")
    with pytest.raises(UnicodeEncodeError):
        _files.write("x.csv", "new \ud800")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_report_can_be_read_by_its_owner_only(configure: Any, tmp_path: Path) -> None:
    configure(reports_dir=str(tmp_path))
    assert stat.S_IMODE(_files.write("x.csv", "names and addresses").stat().st_mode) == 0o600


def test_without_a_folder_reports_go_to_the_systems_temporary_one(
    configure: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    configure(reports_dir="")
    assert _files.folder() == tmp_path / "celery-reports"


def test_only_old_reports_are_removed(configure: Any, tmp_path: Path) -> None:
    configure(reports_dir=str(tmp_path))
    old, new = _files.write("old.csv", ""), _files.write("new.csv", "")
    foreign = tmp_path / "notes.txt"
    foreign.touch()
    part = tmp_path / "report-x.csv.abc.part"
    part.touch()
    for path in (old, foreign, part):
        os.utime(path, (0, 0))
    assert _files.remove_older(time.time() - 86400) == 2
    assert sorted(tmp_path.iterdir()) == sorted([new, foreign])


CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(CELLS)
def test_no_cell_is_a_formula(cell: str) -> None:
    assert not defused(cell).lstrip().startswith(("=", "+", "-", "@", "|", "%", "\uff1d", "\uff0b", "\uff0d", "\uff20"))
    assert defused(cell) in (cell, "'" + cell)


@given(CELLS.filter(lambda text: "\0" not in text), CELLS.filter(lambda text: "\0" not in text))
def test_a_csv_reader_reads_back_what_was_written(order_id: str, email: str) -> None:
    rows = list(csv.reader(io.StringIO(as_csv([an_order(id=order_id, email=email)]), newline="")))
    assert [rows[1][0], rows[1][2]] == [defused(order_id), defused(email)]


@pytest.mark.parametrize("cell", ["=1+1", " =1+1", "\t=1", "@SUM(A1)", "-2+3", "+1", "\r=1", "\uff1d1"])
def test_formulas_are_defused(cell: str) -> None:
    assert defused(cell) == "'" + cell


PLAIN = Elements(as_html("Report", [an_order()], [])).names


@given(CELLS)
def test_no_text_adds_an_element_to_the_page(text: str) -> None:
    page = Elements(as_html("Report", [an_order(id=text, email=f"<script>{text}", customer=f'"{text}')], []))
    assert page.names == PLAIN
    assert "script" not in page.names


@given(st.dictionaries(CELLS, st.floats(0, 1e9), max_size=40))
def test_every_chart_is_an_svg_within_its_frame(values: dict[str, float]) -> None:
    printable = {re.sub(r"[\x00-\x08\x0b-\x1f\ufffe\uffff]", "", label): value for label, value in values.items()}
    bars_drawn = ElementTree.fromstring(bars(printable, "<&>")).findall("{http://www.w3.org/2000/svg}rect")
    assert len(bars_drawn) == len(printable)
    for bar in bars_drawn:
        assert 0 <= float(bar.attrib["y"]) <= 260
        assert 0 <= float(bar.attrib["y"]) + float(bar.attrib["height"]) <= 260


def test_an_order_belongs_to_its_shanghai_day() -> None:
    late = datetime(2026, 1, 1, 23, 59, tzinfo=SHANGHAI)
    days = [late.replace(hour=0, minute=0) + timedelta(days=number) for number in range(2)]
    page = as_html("Report", [an_order(created=late.timestamp())], days)
    assert "<title>01-01: 25.00</title>" in page
    assert "<title>01-02: 0.00</title>" in page
    assert set(KINDS) == {"daily", "weekly", "monthly"}
