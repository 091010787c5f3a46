"""Settings: typed, frozen, from the environment or from files, and refused with one sentence."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config import BadSetting, Settings

NAMES = {item.metadata["name"]: item for item in fields(Settings)}


def test_the_shipped_defaults_are_those_of_the_documents() -> None:
    settings = Settings.from_environment({})
    assert settings.broker_url == "redis://localhost:6379/0"
    assert settings.result_backend == "redis://localhost:6379/1"
    assert (settings.concurrency, settings.lease, settings.max_eta) == (4, 60.0, 86400)
    assert settings.order_rate_limit == "10/m"
    assert settings.fault_tasks is False


def test_settings_can_not_be_changed_later() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings.from_environment({}).lease = 1.0  # type: ignore[misc]


def test_each_setting_has_a_variable_of_its_own_and_a_default_it_accepts() -> None:
    assert len(NAMES) == len(fields(Settings))
    assert [name for name in NAMES if name != name.upper()] == []


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("CELERY_WORKER_CONCURRENCY", "0", "a whole number from 1 to 1000"),
        ("CELERY_WORKER_CONCURRENCY", "4.5", "a whole number from 1 to 1000"),
        ("CELERY_LEASE_SECONDS", "nan", "a number from 3 to 3600"),
        ("CELERY_WORKER_GROUP", "emails", "one of '', 'default', 'email', 'report', 'high', 'orders'"),
        ("CELERY_TASK_EVENTS", "maybe", "true or false"),
        ("ORDER_RATE_LIMIT", "10/day", "a rate such as 10/m (per s, m or h), or nothing for no limit"),
        (
            "PAYMENT_GATEWAY_URL",
            "ftp://host",
            "a URL that starts with http:// or https:// and names a host (or nothing)",
        ),
    ],
)
def test_a_refusal_names_the_variable_the_value_and_what_is_allowed(variable: str, value: str, allowed: str) -> None:
    with pytest.raises(BadSetting) as refused:
        Settings.from_environment({variable: value})
    assert str(refused.value) == f"{variable} is {value!r}: allowed is {allowed}."


@pytest.mark.parametrize("variable", [name for name, item in NAMES.items() if item.metadata["secret"]])
def test_a_refusal_never_shows_a_secret(variable: str) -> None:
    if NAMES[variable].metadata["allowed"] == "any text":
        assert Settings.from_environment({variable: "hunter2"})
        return
    with pytest.raises(BadSetting) as refused:
        Settings.from_environment({variable: "gopher://user:hunter2@host"})
    assert "hunter2" not in str(refused.value)
    assert "hunter2" not in repr(refused.value.__context__ if not refused.value.__suppress_context__ else None)


def test_a_value_can_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("redis://:secret@elsewhere:6380/3\n")
    settings = Settings.from_environment({"CELERY_BROKER_URL_FILE": str(tmp_path / "url")})
    assert settings.broker_url == "redis://:secret@elsewhere:6380/3"


def test_a_file_that_is_not_there_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match=r"^CELERY_BROKER_URL_FILE is .*can't be read"):
        Settings.from_environment({"CELERY_BROKER_URL_FILE": str(tmp_path / "url")})


@given(st.integers(2, 86400))
def test_the_soft_limit_leaves_time_to_finish_and_comes_before_the_hard_one(limit: int) -> None:
    settings = Settings.from_environment({"CELERY_TIME_LIMIT_SECONDS": str(limit)})
    assert 1 <= settings.soft_time_limit < settings.time_limit
    assert settings.time_limit - settings.soft_time_limit <= 30


@given(st.sampled_from(sorted(NAMES)), st.text(max_size=30))
def test_any_text_is_taken_or_refused_by_name_and_nothing_else_happens(variable: str, text: str) -> None:
    refusal = ""
    try:
        Settings.from_environment({variable: text})
    except BadSetting as error:
        refusal = str(error)
    assert refusal == "" or refusal.startswith(f"{variable} is ")
