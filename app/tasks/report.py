"""Beat or producer -> queue `report` -> files: what was sold, as a table for programs and a page for people."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from html import escape
from typing import Any
from zoneinfo import ZoneInfo

from app.celery_app import app
from app.store import CLOSED, PAID, Order, store
from app.tasks import _files
from app.tasks._chart import bars

# Days that each kind of report covers, today included.
KINDS = {"daily": 1, "weekly": 7, "monthly": 31}
_SHANGHAI = ZoneInfo("Asia/Shanghai")
# Spreadsheets skip white space before a formula, and some take the wide forms of its first sign.
_FORMULA = re.compile(r"[\t\r\n]|\s*[-=+@|%\uff0b\uff0d\uff1d\uff20]")
_COLUMNS = ("order", "customer", "email", "status", "total", "created")


@app.task(name="tasks.report.generate", bind=True)
def generate(self: Any, kind: str = "weekly") -> dict[str, Any]:
    """Write a report of the stored orders as CSV and as HTML with a chart; the kind is daily, weekly or monthly.

    Returns {"kind", "csv", "html", "orders", "revenue"}: two paths, a number, and cents of paid orders.
    Raises ValueError for another kind, OSError when the folder can't be written.
    """
    return _report(kind, self.request.id)


@app.task(name="tasks.weekly_report", bind=True)
def weekly_report(self: Any, kind: str) -> dict[str, Any]:
    """Write the report that beat asks for every Monday; the kind is weekly, or daily or monthly.

    Returns and raises what tasks.report.generate does.
    """
    return _report(kind, self.request.id)


def _report(kind: str, task_id: str) -> dict[str, Any]:
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}: write one of {', '.join(KINDS)}")
    today = datetime.now(_SHANGHAI).replace(hour=0, minute=0, second=0, microsecond=0)
    days = [today - timedelta(days=back) for back in reversed(range(KINDS[kind]))]
    orders = store().orders_between(days[0].timestamp(), (today + timedelta(days=1)).timestamp())
    # A task that runs again writes over its own files; hashed, since a task id may hold anything.
    name = f"{kind}-{today:%Y-%m-%d}-{hashlib.sha256(task_id.encode()).hexdigest()[:12]}"
    table = _files.write(f"{name}.csv", as_csv(orders))
    page = _files.write(f"{name}.html", as_html(f"{kind.title()} report, {today:%Y-%m-%d}", orders, days))
    return {"kind": kind, "csv": str(table), "html": str(page), "orders": len(orders), "revenue": _revenue(orders)}


def as_csv(orders: Sequence[Order]) -> str:
    """Return the orders as CSV with a head line; no cell is a formula for a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    writer.writerows([defused(cell) for cell in _row(order)] for order in orders)
    return text.getvalue()


def as_html(title: str, orders: Sequence[Order], days: Sequence[datetime]) -> str:
    """Return a page with the revenue of each day as a chart and the orders as a table; it loads nothing."""
    revenue = {f"{day:%m-%d}": _revenue(_of_day(orders, day)) / 100 for day in days}
    head = "".join(f"<th>{column}</th>" for column in _COLUMNS)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in _row(order))}</tr>\n" for order in orders)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title></head><body>\n'
        f"<h1>{escape(title)}</h1>\n<p>{len(orders)} orders, {_revenue(orders) / 100:.2f} paid</p>\n"
        f"{bars(revenue, 'Revenue per day')}\n"
        f"<table>\n<tr>{head}</tr>\n{rows}</table>\n</body></html>\n"
    )


def defused(cell: str) -> str:
    """Return `cell` so that a spreadsheet shows it as text: with a quote before what would start a formula."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def _row(order: Order) -> tuple[str, ...]:
    created = datetime.fromtimestamp(order.created, _SHANGHAI).isoformat(timespec="seconds")
    return (order.id, order.customer, order.email, order.status, f"{order.total / 100:.2f}", created)


def _of_day(orders: Sequence[Order], day: datetime) -> list[Order]:
    return [order for order in orders if datetime.fromtimestamp(order.created, _SHANGHAI).date() == day.date()]


def _revenue(orders: Sequence[Order]) -> int:
    return sum(order.total for order in orders if order.status in (PAID, CLOSED))
