"""Numbers of tasks: names are bounded, sums are right over processes, and the page is one that Prometheus reads."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from prometheus_client.parser import text_string_to_metric_families

from app.config import BadSetting, Settings
from app.runtime import Options, metrics
from app.runtime.metrics import page, tasks
from app.runtime.metrics.labels import LIMIT, LONGEST, OTHER, Labels, class_name
from app.runtime.metrics.numbers import BUCKETS, Numbers
from app.runtime.metrics.shared import PAIRS, Rows
from app.runtime.metrics.tasks import Tasks
from app.runtime.metrics.trouble import quietly
from scripts.ports import free_port


def in_child(work: Callable[[], object]) -> None:
    """Run `work` in a forked process; fail when it fails."""
    pid = os.fork()
    if not pid:
        try:
            work()
        except BaseException:  # it must not go on as a second pytest
            os._exit(1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


def test_the_first_names_keep_their_own_label_and_the_rest_share_one() -> None:
    labels = Labels()
    assert [labels.of(f"task{number}") for number in range(LIMIT)] == [f"task{number}" for number in range(LIMIT)]
    assert {labels.of(f"late{number}") for number in range(1000)} == {OTHER}
    assert labels.of("task0") == "task0"


def test_a_name_that_is_not_known_takes_no_place() -> None:
    labels = Labels(known={"shop.pay"})
    assert {labels.of(f"guess{number}") for number in range(1000)} == {OTHER}
    assert labels.of("shop.pay") == "shop.pay"


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("shop.tasks.pay", "shop.tasks.pay"),
        ('a"b\nc\\d{e}', "a_b_c_d_e_"),
        ("\ud800", "_"),
        ("", OTHER),
        (None, OTHER),
        ({"a": 1}, OTHER),
        ("x" * 10_000, "x" * LONGEST),
    ],
)
def test_a_name_becomes_harmless(name: object, label: str) -> None:
    assert Labels().of(name) == label


def test_an_exception_that_could_not_be_sent_keeps_its_name() -> None:
    assert class_name(KeyError("x")) == "KeyError"
    wrapped = Exception()
    wrapped.exc_cls_name = "Local"  # type: ignore[attr-defined]
    assert class_name(wrapped) == "Local"


@pytest.mark.parametrize(("seconds", "cell"), [(-1, 0), (0, 0), (0.005, 0), (0.0051, 1), (3600, -2), (3601, -1)])
def test_an_observation_falls_under_the_bound_that_it_does_not_exceed(seconds: float, cell: int) -> None:
    numbers = Numbers()
    numbers.observe("wait", "a", seconds=seconds)
    histogram = numbers.histograms("wait")[("a",)]
    assert histogram.cells[cell] == sum(histogram.cells) == 1
    assert histogram.sum == max(0, seconds)


def test_the_bounds_grow() -> None:
    assert list(BUCKETS) == sorted(set(BUCKETS))


def test_what_processes_count_is_summed_and_outlives_them() -> None:
    rows = Rows(["pay", "mail"], ["high", "low"], 2)
    sent = [("pay", "high"), ("mail", "low"), ("mail", "low"), ("unknown", "low")]
    for row, order in ((0, sent), (1, sent), (0, sent[3:] + sent[:3])):

        def work(row: int = row, order: list[tuple[str, str]] = order) -> None:
            rows.take(row)
            for name, queue in order:
                rows.count(name, queue)

        in_child(work)
    assert rows.totals() == {("pay", "high"): 3, ("mail", "low"): 6, ("", "low"): 3}


def test_a_process_without_a_row_counts_nothing() -> None:
    rows = Rows(["pay"], ["high"], 1)
    rows.count("pay", "high")
    rows.take(0)
    rows.leave()
    rows.count("pay", "high")
    assert rows.totals() == {}


def test_a_full_row_forgets_no_task() -> None:
    names = [f"task{number}" for number in range(2 * PAIRS)]
    rows = Rows(names, ["q"], 1)
    rows.take(0)
    for name in names * 2:
        rows.count(name, "q")
    totals = rows.totals()
    assert len(totals) == PAIRS + 1
    assert totals[("task0", "q")] == 2
    assert totals[("", "")] == 2 * PAIRS
    # The next in its place goes on with the same row.
    rows.take(0)
    rows.count("task0", "q")
    assert rows.totals()[("task0", "q")] == 3


def test_more_processes_than_were_expected_share_rows() -> None:
    rows = Rows(["pay"], ["q"], 2)
    rows.take(5)
    rows.count("pay", "q")
    assert rows.totals() == {("pay", "q"): 1}


def test_what_fails_is_said_once_a_kind(caplog: pytest.LogCaptureFixture) -> None:
    @quietly
    def broken(error: Exception) -> None:
        raise error

    for error in (ValueError("first"), ValueError("second"), KeyError("third")):
        broken(error)
    assert [record.getMessage().split(": ", 2)[2] for record in caplog.records] == [
        "ValueError: first",
        "KeyError: 'third'",
    ]


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Celery:
    """An application that sends nothing, and what this process counts of it is forgotten afterwards."""
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)
    monkeypatch.setattr(tasks._state, "tasks", None)
    app = Celery("metrics", broker="memory://", set_as_current=False)
    app.task(name="shop.pay")(pay)
    app.finalize()
    return app


def pay() -> None:
    """Do nothing."""


def samples(port: int, path: str = "/metrics") -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in families:
        assert family.documentation, family.name
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def request(**headers: Any) -> Any:
    told = {"enqueued_at": 1000.0, **headers}
    delivery = {"routing_key": "high"}
    return SimpleNamespace(
        task=SimpleNamespace(name="shop.pay"), delivery_info=delivery, request_dict=told, time_start=1010.0
    )


def serve(app: Celery, values: Callable[[], dict[str, float | None]] = dict) -> int:
    options = Options(metrics_port=free_port(), metrics_host="127.0.0.1")
    metrics.serve_worker(app, options, "orders", 0, values)
    return options.metrics_port


def test_the_page_has_the_names_of_celery_exporter_and_their_labels(app: Celery) -> None:
    port = serve(app, lambda: {"celery_worker_up": 1})
    counted = tasks._state.tasks
    assert counted is not None
    counted.received(request())
    counted.started(request())
    counted.succeeded(request(), 0.2)
    counted.count(tasks.FAILED, "shop.pay", "high", KeyError("x"))
    counted.sent("shop.pay", "high")
    found = samples(port)
    pair = (("name", "shop.pay"), ("queue_name", "high"))
    grouped = (("group", "orders"), *pair)
    assert found["celery_task_sent_total"] == {pair: 1}
    assert found["celery_task_received_total"] == found["celery_task_started_total"] == {grouped: 1}
    assert found["celery_task_failed_total"] == {(("exception", "KeyError"), *grouped): 1}
    assert found["celery_task_runtime_count"] == found["celery_task_queue_wait_time_count"] == {grouped: 1}
    assert found["celery_task_queue_wait_time_sum"] == {grouped: 10}
    assert found["celery_worker_up"] == {(("group", "orders"),): 1}
    assert "celery_worker_heartbeat_age_seconds" not in found


def test_a_received_task_brings_the_counters_that_alerts_wait_for(app: Celery) -> None:
    port = serve(app)
    assert tasks._state.tasks is not None
    tasks._state.tasks.received(request())
    found = samples(port)
    for word in ("revoked", "rejected", "dead_letter", "succeeded", "started"):
        assert list(found[f"celery_task_{word}_total"].values()) == [0], word


def test_buckets_are_cumulative(app: Celery) -> None:
    port = serve(app)
    assert tasks._state.tasks is not None
    for seconds in (0.001, 0.3, 7, 10_000):
        tasks._state.tasks.succeeded(request(), seconds)
    found = {dict(key)["le"]: value for key, value in samples(port)["celery_task_runtime_bucket"].items()}
    assert (found["0.005"], found["0.5"], found["10.0"], found["3600.0"], found["+Inf"]) == (1, 2, 3, 3, 4)


@pytest.mark.parametrize(
    ("headers", "waited"),
    [
        ({}, 10.0),
        ({"eta": "1970-01-01T00:16:47+00:00"}, 3.0),
        ({"enqueued_at": 2000.0}, 0.0),
        ({"enqueued_at": None}, None),
        ({"enqueued_at": "soon"}, None),
    ],
    ids=["published", "its eta came later", "another clock is ahead", "by a foreign producer", "nonsense"],
)
def test_a_task_waits_from_when_it_was_due(app: Celery, headers: dict[str, Any], waited: float | None) -> None:
    counted = Tasks(app, "orders")
    counted.started(request(**headers))
    found = [histogram.sum for histogram in counted.numbers.histograms(tasks.QUEUE_WAIT).values()]
    assert found == ([] if waited is None else [waited])


def test_without_a_port_nothing_counts(app: Celery) -> None:
    metrics.serve_worker(app, Options(), "orders", 4, dict)
    metrics.serve_beat(app, Options(), lambda: None)
    assert tasks._state.tasks is None


def test_a_forked_process_counts_nothing_and_holds_no_port(app: Celery) -> None:
    port = serve(app)

    def work() -> None:
        assert tasks._state.tasks is None
        tasks._published(sender="shop.pay", routing_key="high")
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(listener)

    listener = next(
        int(name) for name in os.listdir("/proc/self/fd") if os.path.realpath(f"/proc/self/fd/{name}") in sockets(port)
    )
    in_child(work)
    assert "celery_task_sent_total" not in samples(port)


def sockets(port: int) -> set[str]:
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {f"/proc/{os.getpid()}/fd/socket:[{line[9]}]" for line in lines if line[1].endswith(f":{port:04X}")}


def test_every_metric_has_a_help_and_a_type(app: Celery) -> None:
    names = {tasks.SENT, *page.COUNTERS, *page.HISTOGRAMS, *page.GAUGES}
    port = serve(app, lambda: dict.fromkeys(page.GAUGES, 1))
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    told = {line.split()[2].removesuffix("_total") for line in text.splitlines() if line.startswith("# TYPE")}
    assert told == names


def test_the_port_comes_from_the_environment() -> None:
    said = {"CELERY_METRICS_PORT": "9540", "CELERY_METRICS_HOST": "127.0.0.1"}
    for found in (Options.from_environment(said), Settings.from_environment(said)):
        assert (found.metrics_port, found.metrics_host) == (9540, "127.0.0.1")
    for found in (Options.from_environment({}), Settings.from_environment({"CELERY_METRICS_PORT": ""})):
        assert (found.metrics_port, found.metrics_host) == (0, "0.0.0.0")
    with pytest.raises(BadSetting, match="CELERY_METRICS_PORT is 'many': allowed is a whole number"):
        Settings.from_environment({"CELERY_METRICS_PORT": "many"})
