"""A cancelled task does not happen: with no worker running, across a restart, in mid-run; a charge is never cut off."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import psutil
from redis import Redis

from app.runtime.cancel import CANCEL_TTL
from app.store import connect
from scripts.stack.supervision import Supervisor
from tests.support.stack import Stack, until


@contextmanager
def api(stack: Stack) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {stack.api_token}"}
    with httpx.Client(base_url=stack.api_url, headers=headers, timeout=10, trust_env=False) as client:
        yield client


def mail(client: httpx.Client, to: str, **headers: str) -> str:
    answer = client.post("/send-email", json={"to": to, "subject": "Hello", "body": "Text"}, headers=headers)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["task_id"])


def mails(stack: Stack, to: str) -> int:
    every = httpx.get(f"{stack.sandbox_url}/mails", params={"limit": 10_000}, trust_env=False).json()
    return sum(item["to"] == [to] for item in every)


def stored(stack: Stack, task_id: str) -> str | None:
    """Return the state that a worker has stored."""
    with Redis.from_url(stack.place.redis_url(1)) as results:
        text: Any = results.get(f"celery-task-meta-{task_id}")
    return None if text is None else str(json.loads(text)["status"])


def drained(stack: Stack, queue: str, group: str) -> bool:
    """Return whether nothing waits in a queue and its group holds nothing. Only this shows that a message had its turn:

    every worker that hears of a revoked task stores REVOKED for it, whether its message was met or not.
    """
    with Redis.from_url(stack.redis_url) as broker:
        return not (broker.llen(queue) or broker.hlen(f"unacked:{group}"))


@contextmanager
def without_worker(stack: Stack, group: str) -> Iterator[None]:
    Supervisor(stack.place).stop([f"worker-{group}"])
    try:
        yield
    finally:
        assert stack.command("up").returncode == 0


def test_a_mail_cancelled_while_no_worker_runs_is_not_sent_by_the_worker_that_starts_later(stack: Stack) -> None:
    to, kept = f"{uuid.uuid4().hex}@example.com", f"{uuid.uuid4().hex}@example.com"
    with api(stack) as client:
        with without_worker(stack, "email"):
            cancelled, wanted = mail(client, to), mail(client, kept)
            assert client.delete(f"/task/{cancelled}").json() == {"status": "cancelled"}
            assert client.get(f"/task/{cancelled}").json()["status"] == "REVOKED"
        until(lambda: mails(stack, kept) == 1, 30, "the other mail")
        until(lambda: drained(stack, "email", "email"), 30, "every message has its turn")
        assert mails(stack, to) == 0
        assert stored(stack, cancelled) == "REVOKED"
        assert client.get(f"/task/{wanted}").json()["status"] == "SUCCESS"
        assert client.delete(f"/task/{wanted}").status_code == 409


def test_a_task_that_waits_for_its_eta_stays_cancelled_across_the_restart_of_its_worker(stack: Stack) -> None:
    name = uuid.uuid4().hex
    sent = stack.send("tasks.faults.sleep", 0, name, options=("--countdown", "6", "--no-wait"))
    (task_id,) = sent["task_ids"]
    with Redis.from_url(stack.redis_url) as broker, api(stack) as client:
        until(lambda: broker.hlen("unacked:default"), 5, "the worker holds the message")
        assert client.delete(f"/task/{task_id}").status_code == 200
        with without_worker(stack, "default"):
            pass
        until(lambda: drained(stack, "default", "default"), 60, "the message has its turn")
        assert connect(stack.place.redis_url(2)).runs(name) == []
        assert stored(stack, task_id) == "REVOKED"
        assert 0 < broker.ttl(f"runtime:cancelled:{task_id}") <= CANCEL_TTL


def test_a_running_task_is_ended_when_it_is_cancelled(stack: Stack) -> None:
    name = uuid.uuid4().hex
    sent = stack.send("tasks.faults.sleep", 60, name, options=("--no-wait",))
    (task_id,) = sent["task_ids"]
    store = connect(stack.place.redis_url(2))
    with api(stack) as client:
        until(lambda: len(store.runs(name)) == 1, 20, "the start of the task")
        assert client.delete(f"/task/{task_id}").status_code == 200
        (start,) = store.runs(name)
        until(lambda: not psutil.pid_exists(start["pid"]), 20, "the end of the process that runs the task")
        until(lambda: drained(stack, "default", "default"), 20, "the end of the task")
        assert [event["what"] for event in store.runs(name)] == ["start"]
        assert stored(stack, task_id) == "REVOKED"


def test_a_payment_in_mid_charge_is_not_ended_and_the_order_is_charged_once(stack: Stack) -> None:
    sandbox = httpx.Client(base_url=stack.sandbox_url, timeout=10, trust_env=False)
    email = f"{uuid.uuid4().hex}@example.com"
    order = {"customer": "mid-charge", "email": email, "items": [{"sku": "pen", "quantity": 1}]}
    with api(stack) as client, sandbox:
        # The gateway keeps the first charge waiting longer than the shop's patience of 10 s.
        sandbox.post("/faults", json={"target": "payments", "answer": "timeout"}).raise_for_status()
        accepted = client.post("/orders", json=order).json()
        store = connect(stack.place.redis_url(2))
        until(lambda: store.order(accepted["order_id"]).status == "paying", 20, "the charge")
        payment = str(uuid.uuid5(uuid.UUID(accepted["task_id"]), "1"))
        assert client.delete(f"/task/{accepted['task_id']}").status_code == 200
        # The attempt runs into its own timeout, which it could not if it had been ended.
        until(lambda: stored(stack, payment) == "RETRY", 20, "the end of the attempt")
        assert client.get(f"/task/{accepted['task_id']}").json()["status"] == "REVOKED"
        charges = sandbox.get("/payments", params={"limit": 10_000}).json()
        assert sum(accepted["order_id"] in json.dumps(charge) for charge in charges) <= 1


def test_an_order_cancelled_before_it_starts_is_neither_charged_nor_confirmed(stack: Stack) -> None:
    email = f"{uuid.uuid4().hex}@example.com"
    order = {"customer": "early", "email": email, "items": [{"sku": "pen", "quantity": 1}]}
    with api(stack) as client:
        with without_worker(stack, "orders"):
            accepted = client.post("/orders", json=order).json()
            assert client.delete(f"/task/{accepted['task_id']}").status_code == 200
        until(lambda: drained(stack, "high_priority", "orders"), 30, "the message has its turn")
        charges = httpx.get(f"{stack.sandbox_url}/payments", params={"limit": 10_000}, trust_env=False).json()
        assert not any(accepted["order_id"] in json.dumps(charge) for charge in charges)
        assert mails(stack, email) == 0


def test_ten_requests_at_once_with_one_key_send_one_mail(stack: Stack) -> None:
    to = f"{uuid.uuid4().hex}@example.com"
    with api(stack) as client, ThreadPoolExecutor(10) as threads:
        key = {"Idempotency-Key": uuid.uuid4().hex}
        ids = set(threads.map(lambda _: mail(client, to, **key), range(10)))
        assert len(ids) == 1
        until(lambda: client.get(f"/task/{next(iter(ids))}").json()["status"] == "SUCCESS", 30, "the mail")
        assert mails(stack, to) == 1


def test_the_orders_id_is_in_every_log_line_from_the_request_to_the_receipt(stack: Stack) -> None:
    order = {"customer": "logged", "email": f"{uuid.uuid4().hex}@example.com", "items": [{"sku": "pen", "quantity": 1}]}
    with api(stack) as client:
        accepted = client.post("/orders", json=order).json()
        until(lambda: client.get(f"/task/{accepted['task_id']}").json()["status"] == "SUCCESS", 60, "the receipt")
    for name in ("api", "worker-orders", "worker-default", "worker-email"):
        lines = [line for line in stack.log(name).splitlines() if accepted["order_id"] in line]
        assert any(json.loads(line).get("order_id") == accepted["order_id"] for line in lines), name


def test_the_api_says_unavailable_while_the_stacks_redis_hangs_and_goes_on_after(stack: Stack) -> None:
    redis = psutil.Process(stack.pids()["broker"])
    with api(stack) as client:
        redis.suspend()
        try:
            began = time.monotonic()
            answer = client.post("/send-email", json={"to": "jo@example.com", "subject": "s", "body": "b"})
            assert (answer.status_code, time.monotonic() - began < 5) == (503, True)
            assert client.get("/healthz").status_code == 200
            assert client.get("/readyz").status_code == 503
        finally:
            redis.resume()
        until(lambda: client.get("/readyz").status_code == 200, 10, "ready again")
