"""What the API tells of itself: a page of what it sent, and spans of its requests; neither without being asked."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from scripts.ports import free_port
from tests.conftest import ROOT
from tests.support.api import ApiServer
from tests.support.collector import Collector, collecting
from tests.support.redis import RedisServer
from tests.support.stack import until

MAIL = {"to": "jo@example.com", "subject": "Hello", "body": "Text"}
PUBLISH = "apply_async/tasks.email.send_email"
Start = Callable[..., ApiServer]


@pytest.fixture
def start(tmp_path: Path, server: RedisServer) -> Iterator[Start]:
    """Starts an API with the settings that it is given."""
    servers = []

    def starting(**settings: str) -> ApiServer:
        servers.append(ApiServer(tmp_path, server, **settings))
        servers[-1].start()
        return servers[-1]

    yield starting
    for server in servers:
        server.stop()


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


def test_its_page_counts_what_it_sent(start: Start) -> None:
    port = free_port()
    api = start(CELERY_METRICS_PORT=str(port), CELERY_METRICS_HOST="127.0.0.1")
    for _ in range(3):
        httpx.post(f"{api.url}/send-email", json=MAIL).raise_for_status()
    families = text_string_to_metric_families(httpx.get(f"http://127.0.0.1:{port}/metrics").text)
    found = {tuple(sample.labels.values()): sample.value for family in families for sample in family.samples}
    assert found == {("tasks.email.send_email", "email"): 3}
    assert httpx.get(f"{api.url}/metrics").status_code == 404


def test_a_request_is_the_beginning_of_a_trace_or_goes_on_with_its_clients(start: Start, collector: Collector) -> None:
    api = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    trace = "0af7651916cd43dd8448eb211c80319c"
    first = httpx.post(f"{api.url}/send-email", json=MAIL).json()["task_id"]
    traceparent = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    second = httpx.post(f"{api.url}/send-email", json=MAIL, headers=traceparent).json()["task_id"]
    until(lambda: len(collector.named("POST /send-email")) == 2, 20, "both requests are collected")
    own, continued = collector.named("POST /send-email")
    assert own.parent == ""
    assert (continued.trace, continued.parent) == (trace, "b7ad6b7169203331")
    for request, task_id in ((own, first), (continued, second)):
        [publish] = collector.of(task_id)
        assert (publish.name, publish.trace, publish.parent) == (PUBLISH, request.trace, request.id)
    assert {span.service for span in collector.spans} == {"api"}
    lines = [json.loads(line) for line in api.log.read_text().splitlines() if line.startswith("{")]
    assert [line["trace_id"] for line in lines if line.get("path") == "/send-email"] == [own.trace, trace]


def test_no_query_is_in_a_span_and_no_probe_is_one(start: Start, collector: Collector) -> None:
    api = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    for probe in ("/healthz", "/readyz"):
        httpx.get(api.url + probe).raise_for_status()
    httpx.post(f"{api.url}/send-email", params=MAIL | {"body": "hunter2"}).raise_for_status()
    until(lambda: collector.named("POST /send-email"), 20, "the request is collected")
    assert collector.named("POST /send-email")[0].attributes["url.query"] == "REDACTED"
    assert {span.name for span in collector.spans} == {"POST /send-email", PUBLISH}
    assert "hunter2" not in str(collector.spans)


def test_a_publish_that_failed_is_marked_and_nothing_later_is_its_child(
    start: Start, collector: Collector, server: RedisServer
) -> None:
    api = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    with Redis.from_url(server.database(0)) as client:
        for command, status in (("-lpush", 503), ("+lpush", 202)):
            client.acl_setuser("default", enabled=True, commands=[command])
            assert httpx.post(f"{api.url}/send-email", json=MAIL).status_code == status
    until(lambda: len(collector.named("POST /send-email")) == 2, 20, "both requests are collected")
    publishes, requests = collector.named(PUBLISH), collector.named("POST /send-email")
    assert [span.failed for span in publishes] == [True, False]
    assert [span.parent for span in publishes] == [span.id for span in requests]
    assert len({span.trace for span in requests}) == 2


def test_without_a_collector_it_answers_at_once_and_ends_in_time(start: Start) -> None:
    api = start(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_port()}")
    began = time.monotonic()
    for _ in range(20):
        httpx.post(f"{api.url}/send-email", json=MAIL).raise_for_status()
    assert time.monotonic() - began < 5
    began = time.monotonic()
    api.stop()
    assert time.monotonic() - began < 6


def test_a_malformed_endpoint_is_refused_with_a_sentence() -> None:
    command = [sys.executable, "-m", "uvicorn", "app.main:app", "--port", str(free_port())]
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318", "CELERY_BROKER_URL": "redis://127.0.0.1:1/0"}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1), ran.stderr
    assert ran.stderr.startswith("OTEL_EXPORTER_OTLP_ENDPOINT is 'collector:4318': allowed is a URL")
