"""Promise: from the request over its task to the retry, all is one trace, of the processes that `make up` starts."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.support.collector import Collector, collecting
from tests.support.stack import Stack, running, until


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Stack]:
    """A stack of its own, whose shell names a collector."""
    with running(tmp_path_factory.mktemp("traced"), OTEL_EXPORTER_OTLP_ENDPOINT=collector.url) as stack:
        yield stack


def post(stack: Stack, path: str, body: dict[str, object]) -> str:
    headers = {"Authorization": f"Bearer {stack.api_token}"}
    answer = httpx.post(stack.api_url + path, json=body, headers=headers).raise_for_status().json()
    return str(answer["task_id"])


def test_an_order_is_one_trace_from_its_request_to_its_receipt(traced: Stack, collector: Collector) -> None:
    order = {"customer": "jo", "email": "jo@example.com", "items": [{"sku": "book", "quantity": 1}]}
    last = post(traced, "/orders", order)
    run = until(lambda: [one for one in collector.of(last) if one.name.startswith("run/")], 40, "the receipt's run")[0]
    mine = {span.id: span for span in collector.spans if span.trace == run.trace}
    way = [run]
    while way[-1].parent:
        until(lambda: way[-1].parent in {span.id for span in collector.spans}, 20, "the span above is collected")
        mine = {span.id: span for span in collector.spans if span.trace == run.trace}
        way.append(mine[way[-1].parent])
    assert [(span.service, span.name) for span in reversed(way)] == [
        ("api", "POST /orders"),
        ("api", "apply_async/tasks.process_order"),
        ("worker-orders", "run/tasks.process_order"),
        ("worker-orders", "apply_async/tasks.process_payment"),
        ("worker-default", "run/tasks.process_payment"),
        ("worker-default", "apply_async/tasks.email.send_receipt"),
        ("worker-email", "run/tasks.email.send_receipt"),
    ]


def test_a_mail_that_is_tried_again_stays_in_its_requests_trace(traced: Stack, collector: Collector) -> None:
    httpx.post(f"{traced.sandbox_url}/faults", json={"target": "mails", "answer": 451}).raise_for_status()
    task_id = post(traced, "/send-email", {"to": "jo@example.com", "subject": "Hello", "body": "Text"})
    names = ["apply_async/tasks.email.send_email", "run/tasks.email.send_email"]
    # The retry waits a minute: its message is there at once.
    until(lambda: sorted(one.name for one in collector.of(task_id)) == [names[0], *names], 30, "publish, run, retry")
    spans = collector.of(task_id)
    [run] = [span for span in spans if span.name == names[1]]
    [retry] = [span for span in spans if span.parent == run.id]
    assert retry.name == names[0]
    assert len({span.trace for span in spans}) == 1
    assert f'"trace_id": "{run.trace}"' in traced.log("worker-email")
