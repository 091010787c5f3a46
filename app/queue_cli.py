"""Operator -> broker: looks at queues, pauses and empties them, handles dead letters (`python -m app.queue_cli`)."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import click
from celery import Celery
from redis import Redis

from app.celery_app import app
from app.client import UNAVAILABLE, fail_fast
from app.queues import GROUPS, QUEUE_NAMES, group_of
from app.runtime import deadletter, pause
from app.runtime.clients import pooled
from app.runtime.keys import Keys

# Seconds that one Redis command may take.
REDIS_TIMEOUT = 5.0

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class BadInput(click.ClickException):
    """What was asked for can't be done; nothing was changed."""

    exit_code = 2


class QueueName(click.ParamType[str]):
    """A declared queue."""

    name = "queue"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name. Raises BadInput."""
        if value not in QUEUE_NAMES:
            raise BadInput(f"Queue {value!r} is not declared: write one of {', '.join(QUEUE_NAMES)}.")
        return value


class GroupName(click.ParamType[str]):
    """A declared worker group."""

    name = "group"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name. Raises BadInput."""
        if value not in GROUPS:
            raise BadInput(f"Group {value!r} is not declared: write one of {', '.join(GROUPS)}.")
        return value


@dataclass(frozen=True, slots=True)
class QueueState:
    """A queue at one moment.

    waiting: messages that no worker has taken.
    in_flight: messages that workers of its group hold: running, or waiting in the worker for their eta.
    oldest_id: task id of the message that waits longest, and oldest_seconds how long; None when nothing waits.
    """

    queue: str
    group: str
    waiting: int
    in_flight: int
    oldest_id: str | None
    oldest_seconds: float | None
    paused: bool


class Cli(click.Group):
    """Turns an unreachable Redis into one sentence and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        fail_fast(app, REDIS_TIMEOUT, connections=2)
        try:
            return super().invoke(ctx)
        except UNAVAILABLE as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            raise click.ClickException(f"Redis can't be reached ({reason}).") from None


@click.group(cls=Cli)
def main() -> None:
    """Look at queues, pause them, empty them, and bring dead letters back.

    Exit codes: 0 done; 1 not done (Redis away, nothing found, not confirmed); 2 bad input.
    """


@main.command()
@as_json_option
def inspect(as_json: bool) -> None:
    """Show every queue: waiting, in flight (of its group), the oldest waiting, paused or not."""
    rows = queue_states(app)
    if as_json:
        return click.echo(json.dumps([asdict(row) for row in rows]))
    _table(
        ("QUEUE", "GROUP", "WAITING", "IN FLIGHT", "OLDEST", "AGE", "PAUSED"),
        [
            (
                row.queue,
                row.group,
                str(row.waiting),
                str(row.in_flight),
                row.oldest_id or "-",
                "-" if row.oldest_seconds is None else f"{row.oldest_seconds:.0f} s",
                "paused" if row.paused else "-",
            )
            for row in rows
        ],
    )


@main.command("pause")
@click.argument("queue", type=QueueName())
@as_json_option
def pause_queue(queue: str, as_json: bool) -> None:
    """Have the workers stop taking from QUEUE within seconds; what runs, runs on. Holds over restarts."""
    pause.pause(app, queue)
    _done(as_json, f"{queue} is paused.", queue=queue, paused=True)


@main.command("resume")
@click.argument("queue", type=QueueName())
@as_json_option
def resume_queue(queue: str, as_json: bool) -> None:
    """Have the workers take from QUEUE again."""
    pause.resume(app, queue)
    _done(as_json, f"{queue} is not paused.", queue=queue, paused=False)


@main.command()
@click.argument("queue", type=QueueName())
@click.option("--yes", is_flag=True, help="Don't ask.")
@as_json_option
def purge(queue: str, yes: bool, as_json: bool) -> None:
    """Delete the messages that wait in QUEUE, for good; what workers hold stays."""
    if not yes:
        with pooled(app) as client:
            number = sum(client.llen(name) for name in Keys.of(app).waiting(queue))
        question = f"This deletes {number} waiting messages for good. Type the queue's name to go on"
        if click.prompt(question, default="", show_default=False, err=True) != queue:
            raise click.ClickException("Nothing was deleted: what you typed is not the queue's name.")
    deleted = purge_waiting(app, queue)
    _done(as_json, f"{deleted} waiting messages were deleted from {queue}.", queue=queue, deleted=deleted)


@main.command("dead-letters")
@click.argument("group", type=GroupName(), required=False)
@as_json_option
def dead_letters(group: str | None, as_json: bool) -> None:
    """List the messages that no worker runs again until you say so, newest first, of GROUP or of all."""
    rows = [
        {"group": name, **entry} for name in ([group] if group else GROUPS) for entry in deadletter.entries(app, name)
    ]
    if as_json:
        return click.echo(json.dumps(rows))
    if not rows:
        return click.echo("No dead letters.")
    times = (datetime.fromtimestamp(row["at"], UTC).isoformat(timespec="seconds") for row in rows)
    _table(
        ("GROUP", "ID", "TASK", "QUEUE", "AT", "REASON"),
        [
            (row["group"], row["id"], row["task"], str(row["queue"]), when, row["reason"])
            for row, when in zip(rows, times, strict=True)
        ],
    )


@main.command()
@click.argument("group", type=GroupName())
@click.argument("task_id", metavar="ID")
@as_json_option
def replay(group: str, task_id: str, as_json: bool) -> None:
    """Put the dead letter ID of GROUP back on its queue."""
    if not deadletter.replay(app, group, task_id):
        raise click.ClickException(f"Group {group} has no dead letter {task_id!r}: dead-letters lists them.")
    _done(as_json, f"{task_id} is back on its queue.", group=group, id=task_id, replayed=True)


@main.command()
@click.argument("group", type=GroupName())
@click.argument("task_id", metavar="ID")
@as_json_option
def discard(group: str, task_id: str, as_json: bool) -> None:
    """Delete the dead letter ID of GROUP for good."""
    if not deadletter.discard(app, group, task_id):
        raise click.ClickException(f"Group {group} has no dead letter {task_id!r}: dead-letters lists them.")
    _done(as_json, f"{task_id} was deleted.", group=group, id=task_id, discarded=True)


def queue_states(app: Celery) -> list[QueueState]:
    """Return the state of every declared queue. Raises kombu's or redis-py's errors when Redis can't be reached."""
    paused = pause.paused(app)
    with pooled(app) as client:
        return [_state(app, client, name, name in paused) for name in QUEUE_NAMES]


def purge_waiting(app: Celery, queue: str) -> int:
    """Delete the messages that wait in `queue` and return how many. Raises as `queue_states` does."""
    lists = Keys.of(app).waiting(queue)
    with pooled(app) as client:
        pipe = client.pipeline()
        for name in lists:
            pipe.llen(name)
        pipe.delete(*lists)
        return sum(pipe.execute()[: len(lists)])


def _state(app: Celery, client: Redis, queue: str, paused: bool) -> QueueState:
    group, lists = group_of(queue).name, Keys.of(app).waiting(queue)
    pipe = client.pipeline()
    for name in lists:
        pipe.llen(name)
    pipe.hlen(Keys.of(app).unacked(group))
    for name in lists:
        pipe.lindex(name, -1)
    *lengths, in_flight = (found := pipe.execute())[: len(lists) + 1]
    oldest = min((_age_and_id(text) for text in found[len(lists) + 1 :] if text), key=_by_age, default=(None, None))
    return QueueState(queue, group, sum(lengths), in_flight, oldest[1], oldest[0], paused)


def _age_and_id(text: bytes) -> tuple[float | None, str | None]:
    try:
        headers = json.loads(text).get("headers", {})
    except (ValueError, AttributeError):
        # A stranger's text in the list: to be seen here, where an operator looks for what is wrong.
        return None, "not a Celery message"
    at = headers.get("enqueued_at")
    return (None if at is None else max(0.0, time.time() - at)), headers.get("id")


def _by_age(found: tuple[float | None, str | None]) -> float:
    return -(found[0] or 0.0)


def _done(as_json: bool, sentence: str, **result: Any) -> None:
    click.echo(json.dumps(result) if as_json else sentence)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        click.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    main()
