"""The queue command line shows, pauses, empties and replays, and asks before it deletes."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from redis import Redis

from app.runtime.deadletter import bury
from app.runtime.keys import Keys
from app.runtime.lease import Run
from tests.support.cli import Ended, run
from tests.support.redis import RedisServer


@pytest.fixture
def broker(redis_server: RedisServer, clean_redis_url: str) -> Redis:
    return redis_server.client()


def cli(*arguments: str, **options: Any) -> Ended:
    return run("app.queue_cli", *arguments, **options)


def publish(count: int, **options: Any) -> list[str]:
    ended = run("app.producer", "tasks.check_status", "-n", str(count), "--no-wait", "--json", **options)
    assert ended.code == 0, ended.err
    return list(ended.json["task_ids"])


def state(queue: str, **options: Any) -> dict[str, Any]:
    ended = cli("inspect", "--json", **options)
    assert ended.code == 0, ended.err
    (row,) = [row for row in ended.json if row["queue"] == queue]
    return dict(row)


def test_inspect_shows_every_queue_with_what_waits_what_runs_and_the_oldest(broker: Redis) -> None:
    first, *_ = publish(3)
    broker.hset(Keys().unacked("default"), "tag", "[]")
    row = state("default")
    age = row.pop("oldest_seconds")
    assert 0 <= age < 60
    assert row == {
        "queue": "default", "group": "default", "waiting": 3, "in_flight": 1, "oldest_id": first, "paused": False,
    }  # fmt: skip
    assert state("email")["waiting"] == 0
    table = cli("inspect").out
    assert table.splitlines()[0].split()[:3] == ["QUEUE", "GROUP", "WAITING"]
    assert first in table
    assert len(table.splitlines()) == 6


def test_inspect_shows_a_strangers_text_in_a_queue_instead_of_failing(broker: Redis) -> None:
    broker.lpush("default", "not json")
    assert (state("default")["waiting"], state("default")["oldest_id"]) == (1, "not a Celery message")


def test_the_key_prefix_of_an_install_is_looked_under_and_nothing_else_is(broker: Redis) -> None:
    mine = {"CELERY_KEY_PREFIX": "mine:"}
    publish(2, env=mine)
    publish(1)
    assert state("default", env=mine)["waiting"] == 2
    assert cli("pause", "default", env=mine).code == 0
    assert (state("default", env=mine)["paused"], state("default")["paused"]) == (True, False)
    assert cli("purge", "default", "--yes", "--json", env=mine).json == {"queue": "default", "deleted": 2}
    assert state("default")["waiting"] == 1


def test_a_paused_queue_is_shown_as_paused_until_it_is_resumed(broker: Redis) -> None:
    assert cli("pause", "email").out == "email is paused.\n"
    assert (state("email")["paused"], state("default")["paused"]) == (True, False)
    assert "paused" in cli("inspect").out.split()
    assert cli("resume", "email", "--json").json == {"queue": "email", "paused": False}
    assert state("email")["paused"] is False


def test_purge_deletes_what_waits_and_never_what_workers_hold(broker: Redis) -> None:
    publish(4)
    broker.hset(Keys().unacked("default"), "tag", "[]")
    ended = cli("purge", "default", "--yes")
    assert (ended.code, ended.out) == (0, "4 waiting messages were deleted from default.\n")
    assert state("default")["waiting"] == 0
    assert state("default")["in_flight"] == 1


@pytest.mark.parametrize("typed", ["", "\n", "y\n", "yes\n", "email\n"])
def test_purge_deletes_nothing_unless_the_queues_name_is_typed(broker: Redis, typed: str) -> None:
    publish(2)
    ended = cli("purge", "default", text=typed)
    assert ended.code == 1
    assert broker.llen("default") == 2


def test_purge_goes_on_when_the_queues_name_is_typed(broker: Redis) -> None:
    publish(2)
    ended = cli("purge", "default", text="default\n")
    assert (ended.code, broker.llen("default")) == (0, 0)
    assert "2 waiting messages" in ended.err


def dead_letter(broker: Redis) -> str:
    """Bury a published message as a worker does, and return its id."""
    (task_id,) = publish(1)
    raw = json.loads(broker.rpop("default"))
    message = SimpleNamespace(_raw=raw, delivery_info={"routing_key": "default"})
    request = SimpleNamespace(id=task_id, name="tasks.check_status", message=message)
    bury(broker, Keys().dead_letters("default"), request, Run("mark", "starts"), "3 starts had no end")  # type: ignore[arg-type]
    return task_id


def test_a_dead_letter_is_listed_replayed_once_and_gone(broker: Redis) -> None:
    task_id = dead_letter(broker)
    (row,) = cli("dead-letters", "--json").json
    assert (row["id"], row["group"], row["reason"]) == (task_id, "default", "3 starts had no end")
    assert task_id in cli("dead-letters", "default").out
    assert cli("dead-letters", "email", "--json").json == []
    assert cli("replay", "default", task_id).code == 0
    assert json.loads(broker.lindex("default", 0))["headers"]["id"] == task_id
    again = cli("replay", "default", task_id)
    assert (again.code, broker.llen("default")) == (1, 1)
    assert cli("dead-letters").out == "No dead letters.\n"


def test_a_dead_letter_can_be_discarded(broker: Redis) -> None:
    task_id = dead_letter(broker)
    assert cli("discard", "default", task_id, "--json").json["discarded"] is True
    assert cli("dead-letters", "--json").json == []
    assert cli("discard", "default", task_id).code == 1


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("pause", "nope"), "high_priority"),
        (("purge", "unacked:default", "--yes"), "not declared"),
        (("replay", "nope", "x"), "orders"),
        (("dead-letters", "nope"), "orders"),
        (("nonsense",), "nonsense"),
    ],
)
def test_bad_input_is_a_sentence_and_exit_code_2(broker: Redis, arguments: tuple[str, ...], word: str) -> None:
    ended = cli(*arguments)
    assert ended.code == 2
    assert word in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("command", [("inspect",), ("pause", "email"), ("purge", "email", "--yes"), ("dead-letters",)])
def test_an_unreachable_redis_is_one_sentence_and_exit_code_1(command: tuple[str, ...]) -> None:
    ended = cli(*command, env={"CELERY_BROKER_URL": "redis://127.0.0.1:1/0"})
    assert ended.code == 1
    assert ended.err.startswith("Error: Redis can't be reached")
    assert len(ended.err.splitlines()) == 1
    assert ended.seconds < 10
