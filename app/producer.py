"""Person -> broker -> result: publishes tasks, waits for them and sums up (`python -m app.producer`)."""

from __future__ import annotations

import json
import statistics
import sys
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import click
from celery import Celery, Task, states
from celery.exceptions import TimeoutError as CeleryTimeoutError

from app.celery_app import app
from app.client import UNAVAILABLE, access, fail_fast, redis_client
from app.config import settings
from app.queues import QUEUE_NAMES
from app.records import Record, Records
from app.runtime.limits import EtaTooFar

# Seconds that one Redis command may take.
REDIS_TIMEOUT = 5.0
# Records that are written in one round trip, just before their tasks are published.
BATCH = 500
# Seconds between two looks at the results that are still missing; one MGET looks at all of them.
LOOK = 0.1


class BadInput(click.ClickException):
    """What was asked for can't be done; nothing was published."""

    exit_code = 2


@dataclass(slots=True)
class Run:
    """What became of the tasks: publish times and results by task id."""

    published: dict[str, float] = field(default_factory=dict)
    publish_seconds: float = 0.0
    results: dict[str, dict[str, Any]] = field(default_factory=dict)

    def states(self, waited: bool) -> dict[str, int]:
        """Return how many tasks ended in each state; those not waited for are PUBLISHED, those missing UNFINISHED."""
        counts = Counter(result["status"] for result in self.results.values())
        rest = len(self.published) - len(self.results)
        return {**dict(sorted(counts.items())), **({"UNFINISHED" if waited else "PUBLISHED": rest} if rest else {})}

    def latency(self) -> dict[str, float]:
        """Return seconds from publishing to the end of the task (by the worker's clock): p50, p95, p99 and max."""
        ended = {i: r["date_done"] for i, r in self.results.items() if r.get("date_done")}
        seconds = sorted(max(0.0, _timestamp(done) - self.published[i]) for i, done in ended.items())
        if not seconds:
            return {}
        cuts = statistics.quantiles(seconds, n=100, method="inclusive") if len(seconds) > 1 else seconds * 99
        return {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "max": seconds[-1]}


def _timestamp(done: str | datetime) -> float:
    return (datetime.fromisoformat(done) if isinstance(done, str) else done).timestamp()


@click.command()
@click.argument("task", required=False)
@click.option(
    "-n", "count", type=click.IntRange(1, 1_000_000), default=1, show_default=True, help="How many to publish."
)
@click.option("--args", "args_json", default="[]", metavar="JSON", help="Positional arguments, e.g. '[\"weekly\"]'.")
@click.option(
    "--kwargs", "kwargs_json", default="{}", metavar="JSON", help='Named arguments, e.g. \'{"order_id": "7"}\'.'
)
@click.option("--queue", help="A declared queue, instead of the task's own.")
@click.option("--countdown", type=float, metavar="SECONDS", help="Start no sooner than in so many seconds.")
@click.option("--eta", metavar="TIME", help="Start no sooner than at this ISO 8601 time with a zone.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait for the results.")
@click.option(
    "--timeout", type=click.FloatRange(0), default=60.0, show_default=True, metavar="SECONDS", help="Wait so long."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option("--list", "list_tasks", is_flag=True, help="List the tasks and their queues, and publish nothing.")
def main(
    task: str | None,
    count: int,
    args_json: str,
    kwargs_json: str,
    queue: str | None,
    countdown: float | None,
    eta: str | None,
    wait: bool,
    timeout: float,
    as_json: bool,
    list_tasks: bool,
) -> None:
    """Publish TASK -n times, wait for the results, and print a summary.

    Exit codes: 0 all published and, if waited for, succeeded; 1 something failed or is unfinished; 2 bad input.
    """
    fail_fast(app, REDIS_TIMEOUT, connections=2)
    app.loader.import_default_modules()
    if list_tasks:
        return _print_tasks(app, as_json)
    if task is None:
        raise BadInput("No task is named: write python -m app.producer TASK, or --list to see the tasks.")
    chosen = _task(app, task)
    args, kwargs = _arguments(chosen, args_json, kwargs_json)
    options = _options(queue, countdown, eta)
    if wait and chosen.ignore_result:
        raise BadInput(f"{task} stores no result to wait for: add --no-wait.")
    run = Run()
    try:
        _publish(chosen, count, args, kwargs, options, run, quiet=as_json)
        if wait:
            _wait(app, run, timeout, quiet=as_json)
    except UNAVAILABLE as error:
        sentence = (
            f"Redis can't be reached ({_first_line(error)}); {len(run.published)} of {count} tasks were published."
        )
        raise click.ClickException(sentence) from None
    _print_summary(run, task, wait, as_json)
    if wait and run.states(wait) != {states.SUCCESS: count}:
        sys.exit(1)


def _task(app: Celery, name: str) -> Task:
    if name not in app.tasks:
        raise BadInput(f"There is no task {name!r}: --list shows the tasks there are.")
    return app.tasks[name]


def _arguments(task: Task, args_json: str, kwargs_json: str) -> tuple[list[Any], dict[str, Any]]:
    args, kwargs = _json("--args", args_json, list), _json("--kwargs", kwargs_json, dict)
    try:
        task.__header__(*args, **kwargs)
    except TypeError as error:
        raise BadInput(f"The arguments don't fit {task.name}: {str(error).removeprefix('<lambda>() ')}.") from None
    return args, kwargs


def _json(option: str, text: str, kind: type) -> Any:
    shape = "list" if kind is list else "object"
    try:
        value = json.loads(text)
    except ValueError as error:
        raise BadInput(f"{option} is not JSON ({error}): write a JSON {shape}.") from None
    if not isinstance(value, kind):
        raise BadInput(f"{option} is {text!r}: write a JSON {shape}.")
    return value


def _options(queue: str | None, countdown: float | None, eta: str | None) -> dict[str, Any]:
    if queue is not None and queue not in QUEUE_NAMES:
        raise BadInput(f"Queue {queue!r} is not declared: write one of {', '.join(QUEUE_NAMES)}.")
    if countdown is not None and eta is not None:
        raise BadInput("--countdown and --eta both say when to start: write one of them.")
    if countdown is not None and not 0 <= countdown <= settings.max_eta:
        raise BadInput(f"--countdown is {countdown:g}: write seconds from 0 to {settings.max_eta}.")
    when = None if eta is None else _eta(eta)
    return {name: value for name, value in {"queue": queue, "countdown": countdown, "eta": when}.items() if value}


def _eta(text: str) -> datetime:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"--eta is {text!r}: write a time such as 2030-01-31T09:00:00+08:00.") from None
    if when.tzinfo is None:
        raise BadInput(f"--eta is {text!r}, which has no zone: add one, as in {text}+08:00 or {text}Z.")
    ahead = when.timestamp() - time.time()
    if ahead > settings.max_eta:
        raise BadInput(f"--eta is {ahead:.0f} s away: at most {settings.max_eta} s are allowed.")
    return when


def _publish(
    task: Task, count: int, args: list[Any], kwargs: dict[str, Any], options: dict[str, Any], run: Run, quiet: bool
) -> None:
    records = Records(redis_client(settings.store_url, access(settings), REDIS_TIMEOUT), settings.key_prefix)
    began = time.monotonic()
    with (
        click.progressbar(length=count, label="Publishing", file=sys.stderr, hidden=_hidden(quiet)) as bar,
        task.app.producer_or_acquire() as producer,
    ):
        for start in range(0, count, BATCH):
            ids = [str(uuid.uuid4()) for _ in range(min(BATCH, count - start))]
            records.put(Record(task_id=task_id, steps=((task_id, task.name),)) for task_id in ids)
            for task_id in ids:
                now = time.time()
                try:
                    task.apply_async(args, kwargs, task_id=task_id, producer=producer, **options)
                except EtaTooFar as error:
                    raise BadInput(f"{error}.") from None
                run.published[task_id] = now
                bar.update(1)
    run.publish_seconds = time.monotonic() - began


def _wait(app: Celery, run: Run, timeout: float, quiet: bool) -> None:
    with click.progressbar(
        length=len(run.published), label="Waiting   ", file=sys.stderr, hidden=_hidden(quiet)
    ) as bar:
        try:
            for task_id, result in app.backend.get_many(list(run.published), timeout=timeout, interval=LOOK):
                run.results[task_id] = result
                bar.update(1)
        except CeleryTimeoutError:
            return


def _hidden(quiet: bool) -> bool:
    return quiet or not sys.stderr.isatty()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def _print_tasks(app: Celery, as_json: bool) -> None:
    names = sorted(name for name in app.tasks if not name.startswith("celery."))
    routes = {name: _queue_of(app, name) for name in names}
    if as_json:
        return click.echo(json.dumps(routes))
    _table([("TASK", "QUEUE"), *routes.items()])


def _queue_of(app: Celery, name: str) -> str:
    queue = app.amqp.router.route({}, name).get("queue", app.conf.task_default_queue)
    return str(getattr(queue, "name", queue))


def _print_summary(run: Run, task: str, waited: bool, as_json: bool) -> None:
    summary = {
        "task": task,
        "published": len(run.published),
        "publish_seconds": round(run.publish_seconds, 3),
        "states": run.states(waited),
        "latency_seconds": {name: round(seconds, 3) for name, seconds in run.latency().items()},
    }
    if as_json:
        return click.echo(json.dumps({**summary, "task_ids": list(run.published)}))
    rate = len(run.published) / max(run.publish_seconds, 1e-9)
    rows = [("task", task), ("published", f"{len(run.published)} in {run.publish_seconds:.2f} s ({rate:.0f}/s)")]
    rows += [(state, str(number)) for state, number in run.states(waited).items()]
    rows += [(f"latency {name}", f"{seconds:.3f} s") for name, seconds in run.latency().items()]
    if len(run.published) == 1:
        rows.append(("task id", next(iter(run.published))))
    _table(rows)


def _table(rows: Sequence[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        click.echo(f"{name:<{width}}  {value}")


if __name__ == "__main__":
    main()
