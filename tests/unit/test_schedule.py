"""Beat publishes four entries at the times promised, each of which expires before its next tick."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery.schedules import crontab

from app.celery_app import app
from app.schedule import SCHEDULE

SHANGHAI = ZoneInfo("Asia/Shanghai")


def next_tick(name: str, after: datetime) -> datetime:
    """The first time after `after` when beat publishes an entry."""
    entry: Any = SCHEDULE[name]["schedule"]
    schedule = crontab(
        minute=entry._orig_minute,
        hour=entry._orig_hour,
        day_of_week=entry._orig_day_of_week,
        day_of_month=entry._orig_day_of_month,
        nowfun=lambda: after,
        app=app,
    )
    return after + schedule.remaining_estimate(after)


@pytest.mark.parametrize(
    ("name", "task", "ticks"),
    [
        ("daily-cleanup", "tasks.cleanup", [datetime(2026, 1, 1, 2), datetime(2026, 1, 2, 2)]),
        ("weekly-report", "tasks.weekly_report", [datetime(2026, 1, 5, 9), datetime(2026, 1, 12, 9)]),
        ("monthly-billing", "tasks.monthly_billing", [datetime(2026, 2, 1), datetime(2026, 3, 1)]),
    ],
)
def test_crontab_entries_tick_at_shanghai_times(name: str, task: str, ticks: list[datetime]) -> None:
    assert SCHEDULE[name]["task"] == task
    moment = datetime(2026, 1, 1, 0, 0, 1, tzinfo=SHANGHAI)
    for tick in ticks:
        moment = next_tick(name, moment)
        assert moment == tick.replace(tzinfo=SHANGHAI)


def test_the_status_is_checked_every_minute() -> None:
    assert SCHEDULE["check-every-minute"]["schedule"] == 60.0
    assert SCHEDULE["check-every-minute"]["task"] == "tasks.check_status"


def test_the_weekly_report_is_asked_for_by_its_kind() -> None:
    assert SCHEDULE["weekly-report"]["args"] == ("weekly",)


@pytest.mark.parametrize("name", SCHEDULE)
def test_an_entry_expires_before_its_next_tick(name: str) -> None:
    expires = timedelta(seconds=SCHEDULE[name]["options"]["expires"])
    if isinstance(SCHEDULE[name]["schedule"], float):
        assert expires < timedelta(seconds=SCHEDULE[name]["schedule"])
        return
    moment = next_tick(name, datetime(2023, 12, 31, tzinfo=SHANGHAI))
    for _ in range(40):
        following = next_tick(name, moment)
        assert timedelta(0) < expires < following - moment
        moment = following


def test_every_entry_names_a_task_that_exists() -> None:
    app.loader.import_default_modules()
    assert {entry["task"] for entry in SCHEDULE.values()} <= set(app.tasks)
    assert set(SCHEDULE) == {"check-every-minute", "daily-cleanup", "weekly-report", "monthly-billing"}
