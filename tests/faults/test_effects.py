"""Promise: whatever dies in between, each accepted mail leaves under one Message-ID and each order is charged once.

The example itself, on a stack of its own: the mail server, the payment gateway and their journal outlive every kill.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.stack import Stack, running, until

MAILS, ORDERS = 40, 12
VICTIMS = ("worker-email", "worker-orders", "worker-default", "broker", "worker-email", "worker-default", "broker")


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with running(tmp_path / "stack", CELERY_LEASE_SECONDS="6") as stack:
        yield stack


def journal(stack: Stack, kind: str) -> list[dict[str, str]]:
    """Return what the outside world got of `kind`, in order."""
    lines = (stack.place.folder / "sandbox.jsonl").read_text().splitlines()
    return [entry for entry in map(json.loads, lines) if entry["kind"] == kind]


def accepted(client: httpx.Client, path: str, body: dict[str, object]) -> dict[str, str]:
    """Post until the API says yes, as a patient client does: the same key, so that it's one request."""
    key, until_ = str(uuid.uuid4()), time.monotonic() + 60
    while True:
        try:
            answer = client.post(path, json=body, headers={"Idempotency-Key": key})
            if answer.status_code == 202:
                return dict(answer.json())
            assert answer.status_code in (409, 503), answer.text
        except httpx.TransportError:
            pass
        assert time.monotonic() < until_, f"{path} was not accepted within a minute"
        time.sleep(0.2)


def kill_one_after_another(stack: Stack) -> None:
    """Kill each victim with all its children, and give the supervisor time to start it anew."""
    for name in VICTIMS:
        pid = stack.pids()[name]
        os.killpg(os.getpgid(pid), signal.SIGKILL) if name != "broker" else os.kill(pid, signal.SIGKILL)
        until(lambda name=name, pid=pid: stack.pids().get(name) not in (0, pid), 30, f"{name} is started anew")
        time.sleep(1)


@pytest.mark.timeout(400)
def test_each_mail_has_one_message_id_and_each_order_is_charged_once(stack: Stack) -> None:
    killer = threading.Thread(target=kill_one_after_another, args=(stack,))
    killer.start()
    headers = {"Authorization": f"Bearer {stack.api_token}"}
    item = {"sku": "book", "quantity": 1}
    mails, orders = [], []
    with httpx.Client(base_url=stack.api_url, headers=headers, timeout=10) as client:
        for number in range(MAILS):
            body = {"to": f"m{number}@example.com", "subject": f"Mail {number}", "body": "x"}
            mails.append(accepted(client, "/send-email", body)["task_id"])
            if number % (MAILS // ORDERS) == 0 and len(orders) < ORDERS:
                order = {"customer": f"c{number}", "email": f"o{number}@example.com", "items": [item]}
                orders.append(accepted(client, "/orders", order)["order_id"])
        killer.join()
        ids = lambda: {entry["message_id"] for entry in journal(stack, "mail")}  # noqa: E731
        expected = MAILS + len(orders) + 1 + 1  # and the two that `make up` sent
        # One may be lost: workers are killed as they take messages, and in the instant that the README names (seen in
        # 1 of 7 runs, four at a time). That nothing else is lost is for test_killed_processes.py to say.
        until(lambda: len(ids()) >= expected - 1, 200, f"all mails left: {len(ids())} of {expected}")
    charged = [entry["key"] for entry in journal(stack, "charge")]
    assert sorted(set(orders) & set(charged)) == sorted(orders)
    assert len(charged) == len(set(charged)), "an order was charged twice"
    assert len(ids()) <= expected, "a mail left under two Message-IDs"
