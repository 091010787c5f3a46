"""Promise: a worker's page says what became of each task, once, and nothing that the page meets disturbs a task."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from scripts.ports import free_port
from tests.faults.bench import Bench, Process, holds, wait_for

APPLICATION = "tests.faults.application"
CANCEL = "from app.runtime.cancel import cancel; cancel(app, {task!r}, terminate={terminate})"
ONE_TASK_A_CHILD = ("--without-gossip", "--without-mingle", "-O", "fair", "--max-tasks-per-child", "1")


class Page:
    """The page of one process."""

    def __init__(self) -> None:
        self.port = free_port()
        self.environment = {"BENCH_METRICS_PORT": str(self.port)}

    def text(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            return str(answer.read().decode())

    def samples(self, name: str) -> list[tuple[dict[str, str], float]]:
        """Return labels and value of each sample of that name."""
        families = text_string_to_metric_families(self.text())
        return [(item.labels, item.value) for family in families for item in family.samples if item.name == name]

    def total(self, name: str, /, **labels: str) -> float:
        """Return the sum of the samples that have these labels."""
        return sum(value for found, value in self.samples(name) if labels.items() <= found.items())

    def by(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """Return the values that aren't 0, summed by some labels, tasks by the last part of their name."""
        found: Counter[tuple[str, ...]] = Counter()
        for sample, value in self.samples(name):
            found[tuple(sample[label].removeprefix(f"{APPLICATION}.") for label in labels)] += value  # type: ignore[assignment]
        return {key: value for key, value in found.items() if value}


def send_all(bench: Bench, *calls: tuple[str, list[Any], dict[str, Any]]) -> list[str]:
    """Publish several tasks from one process; return their ids."""
    text = json.dumps([(name if "." in name else f"{APPLICATION}.{name}", args, kw) for name, args, kw in calls])
    code = f"import json; print(json.dumps([app.send_task(n, a, **o).id for n, a, o in json.loads({text!r})]))"
    ids: list[str] = json.loads(bench.run(code))
    return ids


def settled(bench: Bench, within: float = 30) -> None:
    wait_for("everything is settled", bench.settled, within=within)


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The page of a worker whose tasks came to every end that there is."""
    bench, page = Bench(tmp_path_factory.mktemp("ends")), Page()
    try:
        worker = bench.worker("a", **page.environment)
        expired = "2020-01-01T00:00:00+00:00"
        bench.run(CANCEL.format(task="cancelled", terminate=False))
        send_all(
            bench,
            *(("sleep", [f"well{number}", 0.1], {}) for number in range(3)),
            ("fail", ["x"], {}),
            ("fail", ["y", "KeyError"], {}),
            ("retry_after", ["again", 0], {}),
            ("reject", ["no"], {}),
            ("exhaust_memory", ["full"], {}),
            ("die_once", ["lost"], {}),
            ("die_always", ["poison"], {}),
            ("tick", [], {"expires": expired}),
            ("unheard.of", ["?"], {}),
            ("publish", ["greedy", 1], {"time_limit": 3600}),
            ("kill_worker", ["cancelled"], {"task_id": "cancelled"}),
        )
        send_all(bench, ("sleep", ["slow", 50], {"time_limit": 1}))
        wait_for("it is killed", lambda: worker.logged("Hard time limit"), within=30)
        (terminated,) = send_all(bench, ("sleep", ["terminated", 50], {}))
        wait_for("it started", lambda: bench.count("start terminated"), within=30)
        bench.run(CANCEL.format(task=terminated, terminate=True))
        bench.server.client.lpush("bench:work", nonsense())
        settled(bench, within=60)
        wait_for("nothing is active", lambda: page.total("celery_worker_tasks_active") == 0, within=5)
        yield page
    finally:
        bench.close()


def nonsense() -> str:
    """Return a message that is none of a task."""
    delivery = {"exchange": "work", "routing_key": "work"}
    properties = {"delivery_info": delivery, "delivery_tag": "n", "body_encoding": "base64"}
    return json.dumps(
        {
            "body": "e30=",
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "headers": {},
            "properties": properties,
        }
    )


def test_each_task_that_succeeded_is_counted_once(ends: Page) -> None:
    assert ends.by("celery_task_succeeded_total", "name") == {("sleep",): 3, ("retry_after",): 1, ("die_once",): 1}


def test_each_failure_is_counted_once_with_its_exception(ends: Page) -> None:
    assert ends.by("celery_task_failed_total", "name", "exception") == {
        ("fail", "ValueError"): 1,
        ("fail", "KeyError"): 1,
        ("reject", "Reject"): 1,
        ("exhaust_memory", "TaskMemoryError"): 1,
        ("die_always", "WorkerLostError"): 1,
        ("sleep", "TimeLimitExceeded"): 1,
        ("publish", "ValueError"): 1,
        ("other", "NotRegistered"): 1,
    }


def test_each_retry_is_counted_with_its_reason(ends: Page) -> None:
    assert ends.by("celery_task_retried_total", "name", "exception") == {
        ("retry_after", "Retry"): 1,
        ("die_once", "WorkerLostError"): 1,
        ("die_always", "WorkerLostError"): 3,
    }


def test_what_was_cancelled_terminated_or_had_expired_is_revoked(ends: Page) -> None:
    assert ends.by("celery_task_revoked_total", "name") == {("kill_worker",): 1, ("sleep",): 1, ("tick",): 1}


def test_what_was_rejected_or_is_no_task_is_counted(ends: Page) -> None:
    assert ends.by("celery_task_rejected_total", "name") == {("reject",): 1, ("other",): 2}


def test_dead_letters_are_counted(ends: Page) -> None:
    assert ends.by("celery_task_dead_letter_total", "name") == {("die_always",): 1}


def test_every_start_is_counted(ends: Page) -> None:
    assert ends.by("celery_task_started_total", "name") == {
        ("sleep",): 5,
        ("fail",): 2,
        ("retry_after",): 2,
        ("reject",): 1,
        ("exhaust_memory",): 1,
        ("die_once",): 2,
        ("die_always",): 4,
    }


def test_what_comes_and_never_starts_is_received(ends: Page) -> None:
    received, started = (ends.by(f"celery_task_{word}_total", "name") for word in ("received", "started"))
    assert {key: received[key] - started.get(key, 0) for key in received if received[key] != started.get(key, 0)} == {
        ("publish",): 1,
        ("kill_worker",): 1,
    }


def test_retries_are_sent_by_whoever_asked_for_them(ends: Page) -> None:
    # The pool process for the task that asks, the main process for one that died.
    expected = {("retry_after", "work"): 1, ("die_once", "work"): 1, ("die_always", "work"): 3}
    assert ends.by("celery_task_sent_total", "name", "queue_name") == expected


def test_every_number_of_a_task_names_its_queue_and_group(ends: Page) -> None:
    for word in ("received", "started", "succeeded", "failed", "retried", "revoked", "rejected", "dead_letter"):
        found = {(labels["queue_name"], labels["group"]) for labels, _ in ends.samples(f"celery_task_{word}_total")}
        assert found == {("work", "bench")}, word


def test_runtimes_are_those_of_tasks_that_ended_well(ends: Page) -> None:
    assert ends.by("celery_task_runtime_count", "name") == ends.by("celery_task_succeeded_total", "name")
    assert 0.3 <= ends.total("celery_task_runtime_sum", name=f"{APPLICATION}.sleep") < 3


def test_the_wait_of_every_start_is_known(ends: Page) -> None:
    assert ends.by("celery_task_queue_wait_time_count", "name") == ends.by("celery_task_started_total", "name")


def test_what_pool_processes_publish_is_counted_though_each_lives_for_one_task(bench: Bench) -> None:
    page = Page()
    bench.worker("a", ONE_TASK_A_CHILD, **page.environment)
    send_all(bench, *(("publish", [f"k{number}", 3], {}) for number in range(5)))
    wait_for("all have run", lambda: bench.count("end k0") == 4 and len(bench.journal()) == 40, within=60)
    settled(bench)
    assert page.by("celery_task_sent_total", "name", "queue_name") == {("sleep", "work"): 15}
    assert page.by("celery_task_succeeded_total", "name") == {("sleep",): 15, ("publish",): 5}


def test_no_pool_process_hangs_because_it_was_forked_while_the_page_was_read(bench: Bench) -> None:
    page, ending = Page(), threading.Event()
    worker = bench.worker("a", ONE_TASK_A_CHILD, **page.environment)
    answers = Counter[str]()

    def read() -> None:
        while not ending.is_set():
            answers["good" if "celery_worker_up" in page.text() else "bad"] += 1

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    try:
        send_all(bench, *(("sleep", [f"k{number}", 0], {}) for number in range(60)))
        settled(bench, within=90)
    finally:
        ending.set()
        for reader in readers:
            reader.join()
    assert page.total("celery_task_succeeded_total") == 60
    assert answers["good"] > 60
    assert not answers["bad"]
    assert worker.stop() == 0


def test_hostile_names_of_exceptions_are_bounded_and_break_no_page(bench: Bench) -> None:
    page = Page()
    bench.worker("a", **page.environment)
    hostile = ['quo"te', "new\nline", "back\\slash", "{curly}", "\ud800", "x" * 100_000, "", "naïve"]
    names = hostile + [f"Error{number}" for number in range(200)]
    send_all(bench, *(("fail", ["k", name], {}) for name in names))
    settled(bench, within=60)
    found = page.by("celery_task_failed_total", "exception")
    assert sum(found.values()) == len(names)
    # 100 of their own, one of which is no name at all, and what all others share.
    assert len(found) == 100
    assert found[("other",)] == len(names) - 99
    assert max(len(name) for (name,) in found) <= 120
    assert {("quo_te",), ("new_line",), ("naïve",)} <= found.keys()


def test_a_thousand_names_of_tasks_are_bounded_and_none_is_forgotten(bench: Bench) -> None:
    page = Page()
    bench.environment["BENCH_TASK_NAMES"] = "1000"
    bench.worker("a", **page.environment)
    send_all(bench, *((f"many.{number}", ["k"], {}) for number in range(1000)))
    settled(bench, within=120)
    found = page.by("celery_task_succeeded_total", "name")
    assert len(found) == 101
    assert sum(found.values()) == 1000
    size = len(page.text())
    send_all(bench, *((f"many.{number}", ["k"], {}) for number in range(900, 1000)))
    settled(bench, within=120)
    assert page.total("celery_task_succeeded_total") == 1100
    # Only digits grew.
    assert len(page.text()) / size < 1.02


def test_the_page_grows_with_no_task_id(bench: Bench) -> None:
    page = Page()
    bench.worker("a", **page.environment)
    sizes = []
    for count in (10, 1000):
        send_all(bench, *(("sleep", ["k", 0], {}) for _ in range(count)))
        settled(bench, within=90)
        sizes.append(len(page.text()))
    assert sizes[1] / sizes[0] < 1.05


def test_a_port_in_use_costs_the_page_and_no_task(bench: Bench) -> None:
    page = Page()
    with socket.create_server(("127.0.0.1", page.port)):
        worker = bench.worker("a", **page.environment)
        assert worker.logged(f"the page on 127.0.0.1:{page.port} failed")
        send_all(bench, ("sleep", ["k", 0], {}), ("fail", ["k"], {}))
        settled(bench)
    assert bench.count("end k") == 1
    assert worker.stop() == 0


def test_a_metrics_folder_that_cannot_be_written_is_not_needed(bench: Bench, tmp_path: Path) -> None:
    # An application of one's own may want it for numbers of its own. Not even root writes below a file.
    (tmp_path / "file").touch()
    page = Page()
    bench.worker("a", PROMETHEUS_MULTIPROC_DIR=str(tmp_path / "file" / "folder"), **page.environment)
    send_all(bench, ("publish", ["k", 2], {}))
    wait_for("all have run", lambda: bench.count("end k") == 3, within=20)
    settled(bench)
    assert page.total("celery_task_succeeded_total") == 3
    assert page.total("celery_task_sent_total") == 2


def test_numbers_that_fail_are_said_once_and_disturb_no_task(bench: Bench) -> None:
    page = Page()
    worker = bench.worker("a", BENCH_BREAK_METRICS="1", **page.environment)
    send_all(bench, *(("sleep", [f"k{number}", 0], {}) for number in range(5)))
    settled(bench)
    assert len(bench.journal()) == 10
    sentences = [line for line in worker.log.read_text().splitlines() if "tasks go on without it" in line]
    assert len(sentences) == 2, "one for the wait, one for the runtime"
    assert page.total("celery_task_received_total") == 5


def test_the_page_answers_while_tasks_run_and_until_the_worker_has_ended(bench: Bench) -> None:
    page = Page()
    worker = bench.worker("a", **page.environment)
    send_all(bench, ("sleep", ["long", 8], {}), ("sleep", ["longer", 9], {}))
    wait_for("both run", lambda: page.total("celery_worker_tasks_active") == 2, within=20)
    assert page.total("celery_worker_pool_slots") == 2
    assert page.total("celery_worker_consuming") == 1
    assert page.total("celery_worker_tasks_near_limit") == 0
    assert page.total("celery_worker_heartbeat_age_seconds", group="bench") < 5
    worker.process.terminate()
    wait_for("it takes nothing more", lambda: page.total("celery_worker_consuming") == 0, within=5)
    holds("the page answers", lambda: page.total("celery_worker_up") == 1, 1)
    assert worker.process.wait(30) == 0
    assert {"end long", "end longer"} <= set(bench.journal())
    assert refused(page), "nobody holds the port"


def test_a_task_near_its_limit_is_seen(bench: Bench) -> None:
    page = Page()
    bench.worker("a", **page.environment)
    send_all(bench, ("sleep", ["k", 5], {"time_limit": 6}))
    wait_for("it runs", lambda: page.total("celery_worker_tasks_active") == 1, within=20)
    assert page.total("celery_worker_tasks_near_limit") == 0
    wait_for("it is near", lambda: page.total("celery_worker_tasks_near_limit") == 1, within=6)
    settled(bench)
    assert page.total("celery_worker_tasks_near_limit") == 0


def test_an_outage_ages_the_heartbeat_and_forgets_no_number(bench: Bench) -> None:
    page = Page()
    bench.worker("a", **page.environment)
    send_all(bench, ("sleep", ["k", 0], {}))
    settled(bench)
    bench.server.kill()
    wait_for("it consumes no more", lambda: page.total("celery_worker_consuming") == 0, within=10)
    bench.server.start()
    wait_for("it consumes again", lambda: page.total("celery_worker_consuming") == 1, within=30)
    send_all(bench, ("sleep", ["k", 0], {}))
    settled(bench)
    assert page.total("celery_task_succeeded_total") == 2


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_pools_without_processes_count_the_same(bench: Bench, pool: str) -> None:
    page = Page()
    flags = ("--without-gossip", "--without-mingle", "-P", pool)
    bench.worker("a", flags, BENCH_UNBOUNDED_POOL="1", **page.environment)
    send_all(
        bench,
        ("sleep", ["k", 0], {}),
        ("fail", ["k"], {}),
        ("retry_after", ["again", 0], {}),
        ("publish", ["p", 2], {}),
        ("reject", ["no"], {}),
    )
    wait_for("all have run", lambda: bench.count("end again") and bench.count("end p") == 3, within=30)
    settled(bench)
    assert page.by("celery_task_succeeded_total", "name") == {("sleep",): 3, ("retry_after",): 1, ("publish",): 1}
    failed = {("fail", "ValueError"): 1, ("reject", "Reject"): 1}
    assert page.by("celery_task_failed_total", "name", "exception") == failed
    assert page.by("celery_task_retried_total", "name", "exception") == {("retry_after", "Retry"): 1}
    assert page.by("celery_task_rejected_total", "name") == {("reject",): 1}
    assert page.by("celery_task_sent_total", "name") == {("sleep",): 2, ("retry_after",): 1}


def test_beat_says_what_it_sent_and_when_it_last_ticked(bench: Bench) -> None:
    page = Page()
    bench.beat("a", **page.environment)
    wait_for("it has sent", lambda: bench.waiting() >= 2, within=30)
    assert page.by("celery_task_sent_total", "name", "queue_name")[("tick", "work")] >= 2
    assert time.time() - page.total("celery_beat_last_tick_timestamp_seconds") < 10


def test_without_a_port_nothing_is_served_or_counted(bench: Bench) -> None:
    worker = bench.worker("a")
    assert "Metrics:" not in worker.log.read_text()
    ports = listening(worker)
    assert not ports


def refused(page: Page) -> bool:
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", page.port), timeout=2).close()
        return False
    return True


def listening(process: Process) -> list[str]:
    """Return what the process's own sockets listen on."""
    inodes = set()
    for descriptor in Path(f"/proc/{process.process.pid}/fd").iterdir():
        with suppress(OSError):
            inodes.add(str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]"))
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [line[1] for line in lines if line[3] == "0A" and line[9] in inodes]
