"""Beat -> broker: what is published when.

Clock times are Asia/Shanghai, the application's time zone. Every entry expires before its next tick, so that an
outage of the workers ends with one run of each entry and not with a pile of them.
"""

from __future__ import annotations

from typing import Any

from celery.schedules import crontab

_HOUR = 3600
_DAY = 24 * _HOUR

SCHEDULE: dict[str, dict[str, Any]] = {
    "check-every-minute": {
        "task": "tasks.check_status",
        "schedule": 60.0,
        "options": {"expires": 55},
    },
    "daily-cleanup": {
        "task": "tasks.cleanup",
        "schedule": crontab(hour=2, minute=0),
        "options": {"expires": 23 * _HOUR},
    },
    "weekly-report": {
        "task": "tasks.weekly_report",
        "schedule": crontab(day_of_week="monday", hour=9, minute=0),
        "args": ("weekly",),
        "options": {"expires": 6 * _DAY},
    },
    "monthly-billing": {
        "task": "tasks.monthly_billing",
        "schedule": crontab(day_of_month="1", hour=0, minute=0),
        # February is the shortest period.
        "options": {"expires": 27 * _DAY},
    },
}
