"""Promise: a limit that can't be kept is refused with a sentence, before anything is sent or run."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from celery import Celery
from hypothesis import given
from hypothesis import strategies as st
from kombu import Queue
from redis import Redis

from app.runtime import Options, install, limits
from app.runtime.clients import dedicated

DAY = 86400


@pytest.fixture(autouse=True)
def no_broker_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Celery lets this variable win over an application's own broker."""
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)


@pytest.fixture
def app(clean_redis_url: str) -> Celery:
    app = Celery("limits", broker=clean_redis_url, backend=clean_redis_url, set_as_current=False)
    app.conf.update(task_queues=(Queue("celery"),), task_time_limit=600)
    install(app, Options(max_eta=DAY))
    return app


@pytest.mark.parametrize(
    "options",
    [
        {"countdown": DAY + 60},
        {"eta": datetime.now(UTC) + timedelta(days=2)},
        {"eta": (datetime.now(UTC) + timedelta(days=2)).isoformat()},
        {"eta": datetime.now(UTC).replace(tzinfo=None) + timedelta(days=2)},
    ],
)
def test_a_far_eta_is_refused_with_what_to_do_instead(app: Celery, options: dict[str, object]) -> None:
    with pytest.raises(limits.EtaTooFar, match=r"at most 86400 s are allowed.*CELERY_MAX_ETA_SECONDS"):
        app.send_task("any", **options)


def test_a_near_eta_is_sent(app: Celery) -> None:
    assert app.send_task("any", countdown=DAY - 60).id


@given(seconds=st.integers(-DAY, 40 * DAY))
def test_an_eta_and_the_same_countdown_are_equally_far(seconds: int) -> None:
    eta = datetime.now(UTC) + timedelta(seconds=seconds)
    assert limits._seconds_ahead(None, eta) == pytest.approx(limits._seconds_ahead(seconds, None), abs=5)


@pytest.mark.parametrize(("asked", "carried"), [(None, [None, None]), (30, [30, None])])
def test_a_message_carries_the_limit_that_was_asked_for_and_not_the_publishers_own(
    app: Celery, clean_redis_url: str, asked: int | None, carried: list[int | None]
) -> None:
    task = app.task(name="limited", shared=False)(long)
    task.apply_async(**({"time_limit": asked} if asked else {}))
    with Redis.from_url(clean_redis_url) as client:
        message = json.loads(client.lindex("celery", 0))
    assert message["headers"]["timelimit"] == carried


def test_a_message_carries_its_publish_time(app: Celery, clean_redis_url: str) -> None:
    app.send_task("any")
    message = json.loads(Redis.from_url(clean_redis_url).lindex("celery", 0))
    assert message["headers"]["enqueued_at"] == pytest.approx(datetime.now(UTC).timestamp(), abs=5)


def long() -> None:
    """A task that may run for long."""


def refusal(app: Celery, pool: str, capsys: pytest.CaptureFixture[str], **options: bool) -> str:
    with pytest.raises(SystemExit) as ended:
        limits.refuse_worker(app, Options(**options), pool)
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_a_worker_refuses_a_task_with_a_larger_limit_than_its_group(
    app: Celery, capsys: pytest.CaptureFixture[str]
) -> None:
    app.task(name="long", time_limit=1200, shared=False)(long)
    assert "Task long has a time limit of 1200 s, and this group allows 600 s" in refusal(app, "prefork", capsys)


def test_a_worker_does_not_mind_long_tasks_of_queues_it_does_not_consume(app: Celery) -> None:
    app.task(name="long", time_limit=1200, shared=False)(long)
    app.conf.task_queues = (Queue("celery"), Queue("other"))
    app.amqp.__dict__.pop("queues", None)
    app.amqp.queues.select(["other"])
    limits.refuse_worker(app, Options(), "prefork")


@pytest.mark.parametrize("pool", limits.UNBOUNDED_POOLS)
def test_a_pool_without_time_limits_is_refused_unless_the_group_says_so(
    app: Celery, pool: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "CELERY_UNBOUNDED_POOL=true" in refusal(app, pool, capsys)
    limits.refuse_worker(app, Options(unbounded_pool=True), pool)


def test_an_application_without_a_limit_and_with_transport_options_of_its_own_gets_one_and_keeps_them() -> None:
    app = Celery("plain", broker="redis://localhost:1/0", set_as_current=False)
    app.conf.broker_transport_options = {"client_name": "mine", "visibility_timeout": 3600}
    install(app, Options(time_limit=30, lease=20))
    kept = app.conf.broker_transport_options
    assert (app.conf.task_time_limit, kept["client_name"], kept["visibility_timeout"]) == (30, "mine", 20)


def test_a_dedicated_client_says_quickly_and_in_one_kind_of_error_that_redis_is_away() -> None:
    app = Celery("away", broker="redis://127.0.0.1:1/0", set_as_current=False)
    install(app, Options())
    with pytest.raises(OSError, match="refused"):
        dedicated(app, timeout=1)


def test_the_runtime_refuses_a_broker_that_is_not_redis() -> None:
    with pytest.raises(ValueError, match="needs a Redis broker"):
        install(Celery("amqp", broker="amqp://localhost", set_as_current=False))
