"""A failure is recorded once, within bounds, without ever failing itself; people are told by a task of its own."""

from __future__ import annotations

import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from celery.utils.functional import arity_greater

from app import store as module
from app.store import Store
from app.tasks.failure import on_task_failure, report_failure
from scripts.ports import free_port
from tests.support.world import Outside


def a_request(task_id: str = "t-1", **fields: Any) -> Any:
    """What Celery hands to an errback: the failed task's request."""
    return SimpleNamespace(id=task_id, task="tasks.process_order", args=["o-1"], **fields)


def test_a_failure_is_recorded_once_though_celery_calls_twice(shop: Store) -> None:
    for _ in range(2):
        on_task_failure(a_request(), ValueError("too late"), None)
    assert shop.failures_since(0) == 1
    assert shop.failure("t-1") == {
        "task_id": "t-1",
        "task": "tasks.process_order",
        "error": "ValueError",
        "message": "too late",
        "args": ["o-1"],
    }


def test_only_the_newest_failures_are_kept(shop: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FAILURES_KEPT", 10)
    for number in range(25):
        on_task_failure(a_request(f"t-{number}"), ValueError(), None)
    assert shop.failures_since(0) == shop.redis.hlen(shop.keys.failures) == 10
    assert shop.failure("t-14") is None
    assert shop.failure("t-15") is not None


def test_a_long_message_is_cut(shop: Store) -> None:
    on_task_failure(a_request(), ValueError("x" * 10**6), None)
    assert len((shop.failure("t-1") or {})["message"]) == 1000


@pytest.mark.parametrize("request_", [None, SimpleNamespace(), SimpleNamespace(id="t-1", args=[object()])])
def test_no_request_makes_it_raise(shop: Store, request_: Any) -> None:
    on_task_failure(request_, None, None)


def test_a_store_that_is_gone_neither_makes_it_raise_nor_wait(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gone = replace(module.settings, store_url=f"redis://127.0.0.1:{free_port()}/0")
    monkeypatch.setattr(module, "settings", gone)
    monkeypatch.setattr(module, "_stores", {})
    start = time.monotonic()
    on_task_failure(a_request(), ValueError(), None)
    assert time.monotonic() - start < 2
    assert "could not be recorded" in caplog.text


def test_celery_takes_it_for_an_errback_that_it_calls_inline() -> None:
    assert arity_greater(on_task_failure.__header__, 1)
    assert not arity_greater(report_failure.__header__, 1)


def test_the_operators_are_told_about_a_failure(shop: Store, sandbox: Outside) -> None:
    on_task_failure(a_request(), ValueError("too late"), None)
    assert report_failure.apply(("t-1",)).get() == {"status": "reported", "task_id": "t-1"}
    (told,) = sandbox.world.notifications
    assert told["message"] == "Task tasks.process_order [t-1] failed: ValueError: too late"


def test_a_webhook_in_trouble_is_told_again(shop: Store, sandbox: Outside) -> None:
    sandbox.fail("notifications", 503, times=3)
    assert report_failure.apply(("t-1",)).get()["status"] == "reported"


def test_without_a_webhook_a_failure_is_logged(shop: Store, configure: Any, caplog: pytest.LogCaptureFixture) -> None:
    configure(webhook_url="")
    on_task_failure(a_request(), ValueError("too late"), None)
    assert report_failure.apply(("t-1",)).get()["status"] == "logged"
    assert "too late" in caplog.text
