"""Promise: a task, its retries and what it sends are one trace; and without a collector nothing is slower or lost."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from scripts.ports import free_port
from tests.faults.bench import ROOT, Bench, Worker, wait_for
from tests.faults.test_logs import records
from tests.support.collector import Collector, Span, collecting

APP = "tests.faults.application"
# What a traced publisher, which this test plays, writes into its messages.
TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACED = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


def traced(bench: Bench, url: str, **more: str) -> Worker:
    return bench.worker("a", BENCH_JSON_LOGS="1", OTEL_EXPORTER_OTLP_ENDPOINT=url, **more)


def runs(collector: Collector, task: str) -> list[Span]:
    return collector.named(f"run/{APP}.{task}")


def test_a_task_its_retry_and_their_log_lines_are_of_the_publishers_trace(bench: Bench, collector: Collector) -> None:
    worker = traced(bench, collector.url)
    task_id = bench.send("retry_after", "x", 0, headers=TRACED)
    wait_for("two runs are collected", lambda: len(runs(collector, "retry_after")) == 2, within=30)
    first, second = runs(collector, "retry_after")
    [publish] = collector.named(f"apply_async/{APP}.retry_after")
    assert {span.trace for span in collector.of(task_id)} == {TRACE}
    assert (first.parent, publish.parent, second.parent) == ("b7ad6b7169203331", first.id, publish.id)
    assert {span.service for span in (first, publish, second)} == {"worker-bench"}
    for words in (" received", " retry: Retry in", " succeeded in"):
        assert {record.get("trace_id") for record in records(worker, words)} == {TRACE}, words


def test_what_a_task_sends_is_of_its_trace_and_another_task_of_another(bench: Bench, collector: Collector) -> None:
    traced(bench, collector.url)
    for key in ("x", "y"):
        bench.send("publish", key, 2)
    wait_for("all is collected", lambda: len(runs(collector, "sleep")) == 4, within=30)
    traces = [span.trace for span in runs(collector, "publish")]
    assert len(set(traces)) == 2
    assert sorted(span.trace for span in runs(collector, "sleep")) == sorted(2 * traces)


def test_a_run_after_the_death_of_its_process_is_of_the_same_trace(bench: Bench, collector: Collector) -> None:
    traced(bench, collector.url)
    bench.send("die_once", "x", headers=TRACED)
    wait_for("the second run is collected", lambda: runs(collector, "die_once"), within=40)
    [run] = runs(collector, "die_once")
    assert run.trace == TRACE


def test_a_failure_is_marked_and_arguments_are_nowhere(bench: Bench, collector: Collector) -> None:
    traced(bench, collector.url)
    bench.send("fail", "hunter2")
    bench.send("sleep", "hunter2", 0)
    wait_for("both are collected", lambda: runs(collector, "fail") and runs(collector, "sleep"), within=30)
    assert [runs(collector, task)[0].failed for task in ("fail", "sleep")] == [True, False]
    assert "hunter2" not in str([span.attributes for span in collector.spans])


@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_pools_without_processes_are_traced_and_send_what_is_left_at_their_end(
    bench: Bench, collector: Collector, pool: str
) -> None:
    late = {"OTEL_BSP_SCHEDULE_DELAY": "600000", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    worker = bench.worker("a", flags=("-P", pool), BENCH_UNBOUNDED_POOL="1", **late)
    bench.send("sleep", "x", 0, headers=TRACED)
    wait_for("it is done", lambda: bench.count("end x"), within=20)
    assert worker.stop() == 0
    assert [span.trace for span in runs(collector, "sleep")] == [TRACE]


def test_the_end_of_a_worker_sends_what_is_left(bench: Bench, collector: Collector) -> None:
    worker = traced(bench, collector.url, OTEL_BSP_SCHEDULE_DELAY="600000")
    bench.send("sleep", "x", 0, headers=TRACED)
    wait_for("it is done", lambda: bench.count("end x"), within=20)
    assert collector.spans == []
    assert worker.stop() == 0
    assert [span.trace for span in runs(collector, "sleep")] == [TRACE]


def test_a_soft_shutdown_loses_no_span_of_what_ended_before(bench: Bench, collector: Collector) -> None:
    worker = traced(bench, collector.url, BENCH_SOFT_SHUTDOWN="4", REMAP_SIGTERM="SIGQUIT")
    short = bench.send("sleep", "short", 1, headers=TRACED)
    bench.send("sleep", "long", 60)
    wait_for("both run", lambda: bench.count("start short") and bench.count("start long"), within=20)
    worker.stop()
    assert bench.count("end short")
    assert [span.trace for span in collector.of(short)] == [TRACE]


def test_beats_ticks_are_traces_of_their_own_even_after_one_that_failed(bench: Bench, collector: Collector) -> None:
    beat = bench.beat("a", OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, BENCH_TICK="1")
    name = f"apply_async/{APP}.tick"
    wait_for("a tick is collected", lambda: collector.named(name), within=30)
    # Every other command works: beat keeps its lock, and the publish fails.
    bench.server.client.acl_setuser("default", enabled=True, commands=["-lpush", "-rpush"])
    wait_for("a failed one is collected", lambda: any(span.failed for span in collector.named(name)), within=30)
    bench.server.client.acl_setuser("default", enabled=True, commands=["+@all"])
    good = sum(not span.failed for span in collector.named(name))
    wait_for("ticks go on", lambda: sum(not span.failed for span in collector.named(name)) > good + 1, within=30)
    assert beat.stop() == 0
    ticks = collector.named(name)
    assert {span.parent for span in ticks} == {""}
    assert len({span.trace for span in ticks}) == len(ticks)
    assert {span.service for span in ticks} == {"beat"}


def absent() -> str:
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture
def hanging() -> Iterator[str]:
    """A collector that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("state", ["absent", "hanging"])
def test_without_a_collector_tasks_are_as_fast_and_the_worker_ends_in_time(
    bench: Bench, hanging: str, state: str
) -> None:
    worker = traced(bench, hanging if state == "hanging" else absent())
    began = time.monotonic()
    bench.send("publish", "many", 300)
    wait_for("all is done", lambda: bench.count("end many") == 301, within=30)
    # The queue of spans is full of what nobody takes; a task that waited for it would take seconds.
    assert time.monotonic() - began < 15
    began = time.monotonic()
    assert worker.stop() == 0
    assert time.monotonic() - began < 8


def test_when_it_is_off_nothing_of_it_is_imported(bench: Bench) -> None:
    seen = bench.run(
        "from celery import signals; from app.runtime import logs; logs.configure('info', 'json');"
        "signals.worker_process_init.send(sender='a'); signals.beat_init.send(sender=None); import sys, logging;"
        "logging.getLogger('x').warning('said'); print(*sys.modules)"
    ).split()
    # Others import the interface for themselves when it is there: redis-py the metrics, FastAPI its own spans.
    costly = (
        "opentelemetry.sdk.trace",
        "opentelemetry.instrumentation",
        "opentelemetry.exporter",
        "google",
        "requests",
    )
    assert [name for name in seen if name.startswith(costly)] == []
    assert "app.runtime.tracing" in seen


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT is 'collector:4318'"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:x"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is 'http://c:x'"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc'",
        ),
    ],
    ids=["no URL", "no port", "another protocol"],
)
@pytest.mark.parametrize("command", ["worker", "beat"])
def test_what_can_not_be_is_refused_with_a_sentence(
    bench: Bench, command: str, variables: dict[str, str], words: str
) -> None:
    code, said = ended(bench, command, variables)
    assert (code, said.count("\n")) == (2, 1), said
    assert words in said


def test_a_missing_package_is_said(bench: Bench) -> None:
    broken = bench.folder / "opentelemetry"
    broken.mkdir()
    (broken / "__init__.py").write_text("")
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "PYTHONPATH": str(bench.folder)}
    code, said = ended(bench, "worker", variables)
    assert (code, said.count("\n")) == (2, 1), said
    assert "opentelemetry-instrumentation-celery" in said


@pytest.mark.parametrize("off", [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}])
def test_opentelemetrys_own_switches_switch_it_off(bench: Bench, collector: Collector, off: dict[str, str]) -> None:
    worker = traced(bench, collector.url, OTEL_BSP_SCHEDULE_DELAY="10", **off)
    bench.send("sleep", "x", 0)
    wait_for("it is done", lambda: records(worker, " succeeded in"), within=20)
    worker.stop()
    assert collector.spans == []
    assert "trace_id" not in json.dumps(records(worker, "x"))


def ended(bench: Bench, command: str, variables: dict[str, str]) -> tuple[int, str]:
    """Return the exit code of a Celery command that ends by itself, and what it wrote to stderr."""
    run = [sys.executable, "-m", "celery", "-A", APP, command]
    # Celery warns of a worker of root's.
    environment = bench.environment | {"PYTHONWARNINGS": "ignore"} | variables
    ran = subprocess.run(run, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    return ran.returncode, ran.stderr
