"""Promise: what a worker says of a task, in its main process or in the pool, names task, queue, group and attempt."""

from __future__ import annotations

import json

import pytest

from tests.faults.bench import Bench, Process, wait_for


def records(process: Process, words: str) -> list[dict[str, object]]:
    """Return the records whose message has these words."""
    lines = [json.loads(line) for line in process.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if words in line["message"]]


@pytest.mark.parametrize(
    ("task", "arguments", "options", "words", "attempt"),
    [
        ("sleep", [0], {}, " received", 1),
        ("sleep", [0], {}, " succeeded in", 1),
        ("fail", [], {}, " raised unexpected", 1),
        ("fail", [], {"retries": 2}, " raised unexpected", 3),
        ("retry_after", [0], {}, " retry: Retry in", 1),
        ("retry_after", [0], {}, " succeeded in", 2),
        ("die_always", [], {"retries": 3}, "goes to the dead letters", 4),
        ("die_always", [], {"retries": 3}, "Task handler raised error", 4),
        ("sleep", [30], {"time_limit": 1}, "Hard time limit", 1),
        ("sleep", [0], {"time_limit": 3600}, "is refused", 1),
    ],
)
def test_a_line_names_its_task(
    bench: Bench, task: str, arguments: list[object], options: dict[str, object], words: str, attempt: int
) -> None:
    worker = bench.worker("a", BENCH_JSON_LOGS="1")
    task_id = bench.send(task, "hunter2", *arguments, **options)
    wait_for(f"it says {words}", lambda: records(worker, words), within=30)
    [record] = records(worker, words)
    expected = {
        "task_id": task_id,
        "task": f"tests.faults.application.{task}",
        "queue": "work",
        "group": "bench",
        "attempt": attempt,
    }
    assert {name: record.get(name) for name in expected} == expected
    assert "hunter2" not in str([records(worker, said) for said in (" received", " succeeded", " retry:")])


def test_a_line_of_beats_names_the_task_that_it_sends(bench: Bench) -> None:
    beat = bench.beat("a", BENCH_JSON_LOGS="1")
    wait_for("it has sent", lambda: bench.waiting() >= 1, within=30)
    worker = bench.worker("a", BENCH_JSON_LOGS="1")
    wait_for("the tick is done", lambda: records(worker, " succeeded in"), within=20)
    record = records(beat, "Sending due task")[0]
    expected = {"task": "tests.faults.application.tick", "queue": "work", "attempt": 1}
    assert {name: record.get(name) for name in expected} == expected
    assert record["task_id"] in [done["task_id"] for done in records(worker, " succeeded in")]
