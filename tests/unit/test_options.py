"""Promise: an application that takes its options from the environment is run as the chart says."""

from __future__ import annotations

import pytest

from app.runtime import Options
from app.runtime.servers import Access


def test_without_variables_the_defaults_hold() -> None:
    assert Options.from_environment({}) == Options()


def test_every_variable_has_its_effect() -> None:
    said = {
        "CELERY_WORKER_GROUP": "mails",
        "CELERY_KEY_PREFIX": "shop:",
        "CELERY_HEARTBEAT_DIR": "/run/celery",
        "CELERY_LEASE_SECONDS": "30",
        "CELERY_TIME_LIMIT_SECONDS": "3600",
        "CELERY_MAX_ETA_SECONDS": "60",
        "CELERY_BEAT_LOCK_SECONDS": "15",
        "CELERY_UNBOUNDED_POOL": "true",
        "CELERY_SENTINEL_MASTER": "mymaster",
        "CELERY_SENTINEL_PASSWORD": "secret",
        "CELERY_BROKER_CA_FILE": "/ca.crt",
    }
    assert Options.from_environment(said) == Options(
        group="mails",
        key_prefix="shop:",
        heartbeat_dir="/run/celery",
        lease=30,
        time_limit=3600,
        max_eta=60,
        beat_lock=15,
        unbounded_pool=True,
        access=Access(sentinel_master="mymaster", sentinel_password="secret", ca_file="/ca.crt"),
    )


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="soon"):
        Options.from_environment({"CELERY_LEASE_SECONDS": "soon"})
