"""What the tests of the example's tasks share: a clean store and an outside world."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from app import config
from app.store import Item, Store, store
from tests.support.redis import RedisServer
from tests.support.world import Outside, outside

# The modules that read the settings when a task runs.
_READERS = ("_smtp", "_payments", "_files", "email", "failure")


@pytest.fixture
def shop(clean_redis_url: str) -> Store:
    """The tasks' own store, empty."""
    return store()


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that changes settings for the tasks until the test ends."""
    current = config.settings

    def change(**changes: Any) -> None:
        nonlocal current
        current = replace(current, **changes)
        for module in _READERS:
            monkeypatch.setattr(f"app.tasks.{module}.settings", current)

    return change


@pytest.fixture(scope="session")
def running_sandbox() -> Iterator[Outside]:
    with outside() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running_sandbox: Outside, configure: Any, tmp_path: Path) -> Outside:
    """A sandbox that nobody has told anything, with the tasks' settings pointed at it."""
    world = running_sandbox.world
    for kept in (world.mails, world.notifications, world.charges, world.faults):
        kept.clear()
    address = f"http://127.0.0.1:{running_sandbox.http_port}"
    configure(
        smtp_url=f"smtp://127.0.0.1:{running_sandbox.smtp_port}",
        payment_url=f"{address}/payments",
        webhook_url=f"{address}/notifications",
        reports_dir=str(tmp_path),
    )
    return running_sandbox


@pytest.fixture
def order(shop: Store) -> str:
    """The id of a new order of two books and a pen: 5300 cents."""
    shop.create_order("o-1", "c-1", "jo@example.com", [Item("book", 2), Item("pen", 1)])
    return "o-1"


@pytest.fixture
def redis(clean_redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(clean_redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that the test may kill."""
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()
