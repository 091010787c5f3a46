"""What a task costs Redis, counted against the same settings without the runtime."""

from __future__ import annotations

from tests.faults.bench import Bench, wait_for

TASKS = 200
PUBLISH = (
    "from tests.faults.application import sleep; before = {commands};"
    "[sleep.apply_async(['k', 0]) for _ in range({tasks})]; print({commands} - before)"
)
COMMANDS = "__import__('redis').Redis.from_url(app.conf.broker_url).info('stats')['total_commands_processed']"


def commands(bench: Bench) -> int:
    return int(bench.server.client.info("stats")["total_commands_processed"])


def publish(bench: Bench, tasks: int = TASKS) -> float:
    """Publish `tasks` tasks from one process; return the commands a task."""
    return int(bench.run(PUBLISH.format(commands=COMMANDS, tasks=tasks))) / tasks


def consume(bench: Bench, runtime: str) -> float:
    """Return the commands that a worker spends on one task, polls while idle left out."""
    publish(bench)
    seen = bench.count("end k")
    bench.server.client.config_resetstat()
    worker = bench.worker(f"counter-{runtime}", RUNTIME=runtime)
    wait_for("all are done", lambda: bench.count("end k") == seen + TASKS and bench.settled(), within=60)
    statistics = bench.server.client.info("commandstats")
    spent = {name.removeprefix("cmdstat_"): value["calls"] for name, value in statistics.items()}
    # The test's own LLEN and HLEN, connection set-up, and idle BRPOPs are no part of a task.
    task = ("zadd", "hset", "zrem", "hdel", "multi", "exec", "get", "mget", "set", "setex", "publish")
    worker.stop()
    return sum(spent.get(name, 0) for name in task) / TASKS + 1


def test_commands_per_task_do_not_grow_unnoticed(bench: Bench) -> None:
    plain, ours = consume(bench, "off"), consume(bench, "on")
    print(f"\ncommands per finished task: plain {plain:.2f}, with the runtime {ours:.2f}")
    assert ours <= plain + 3.3, "the mark, the read of the cancel mark, and the mark's end"
    assert ours <= 17.5


def test_commands_per_publish_do_not_grow_unnoticed(bench: Bench) -> None:
    per_publish = publish(bench)
    print(f"\ncommands per publish: {per_publish:.2f}")
    assert per_publish <= 3.2, "LPUSH, and two to subscribe to the result"
