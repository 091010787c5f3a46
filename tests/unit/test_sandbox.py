"""The sandbox behaves as the services it stands for, and forgets no effect that it was told to write down."""

from __future__ import annotations

import json
import os
import signal
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from scripts.ports import free_port
from tests.support.world import Outside


@pytest.fixture
def http(sandbox: Outside) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{sandbox.http_port}", timeout=10) as client:
        yield client


def pay(http: httpx.Client, key: str, amount: int = 100) -> httpx.Response:
    return http.post("/payments", json={"amount": amount}, headers={"Idempotency-Key": key})


def test_a_key_is_charged_once(http: httpx.Client) -> None:
    first, second = pay(http, "o-1"), pay(http, "o-1")
    assert (first.status_code, first.json()) == (second.status_code, second.json())
    assert len(http.get("/payments").json()) == 1
    assert pay(http, "o-1", 101).status_code == 422
    assert http.post("/payments", json={"amount": 100}).status_code == 422


def test_a_failure_comes_as_often_as_asked(http: httpx.Client) -> None:
    http.post("/faults", json={"target": "payments", "answer": 503, "times": 2})
    assert [pay(http, "o-1").status_code for _ in range(3)] == [503, 503, 201]
    http.post("/faults", json={"target": "payments", "answer": "lost"})
    assert pay(http, "o-2").status_code == 503
    assert len(http.get("/payments").json()) == 2


def test_a_fault_that_makes_no_sense_is_refused(http: httpx.Client) -> None:
    assert http.post("/faults", json={"target": "weather"}).status_code == 422
    assert http.post("/faults", json={"target": "mails", "answer": "maybe"}).status_code == 422


@contextmanager
def running(*options: str) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """A sandbox as its own process; yields it with its HTTP and SMTP ports."""
    http_port, smtp_port = free_port(), free_port()
    command = [sys.executable, "-m", "scripts.sandbox", "--http-port", str(http_port), "--smtp-port", str(smtp_port)]
    process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 30
        while process.poll() is None:
            try:
                httpx.get(f"http://127.0.0.1:{http_port}/healthz", timeout=1).raise_for_status()
                break
            except httpx.HTTPError:
                assert time.monotonic() < deadline, "the sandbox did not start in 30 s"
                time.sleep(0.05)
        yield process, http_port, smtp_port
    finally:
        process.kill()
        process.communicate()


def test_effects_are_counted_over_restarts_by_the_journal(tmp_path: Path) -> None:
    journal = tmp_path / "new" / "journal.jsonl"
    for number in range(2):
        with running("--journal", str(journal)) as (process, http_port, smtp_port):
            with httpx.Client(base_url=f"http://127.0.0.1:{http_port}") as http:
                pay(http, "o-1").raise_for_status()
                http.post("/notifications", json={"user_id": 1, "message": "Hi"}).raise_for_status()
            with smtplib.SMTP("127.0.0.1", smtp_port, timeout=5) as smtp:
                smtp.sendmail("a@example.com", ["b@example.com"], f"Message-ID: <{number}@x>\nSubject: Hi\n\nHello\n")
            os.kill(process.pid, signal.SIGKILL)
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [line["kind"] for line in lines].count("charge") == 1
    assert [line["kind"] for line in lines].count("notification") == 2
    assert [line["message_id"] for line in lines if line["kind"] == "mail"] == ["<0@x>", "<1@x>"]


def test_a_port_in_use_is_one_sentence_with_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "scripts.sandbox", "--http-port", port, "--smtp-port", str(free_port())]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"Port {port} on 127.0.0.1 can't be used" in done.stderr
    assert "--http-port" in done.stderr


def test_wrong_usage_ends_with_2_and_help_with_0(tmp_path: Path) -> None:
    for options, code in ((["--http-port", "many"], 2), (["--help"], 0), (["--journal", str(tmp_path)], 1)):
        done = subprocess.run(
            [sys.executable, "-m", "scripts.sandbox", *options], capture_output=True, timeout=30, check=False
        )
        assert done.returncode == code


def test_it_listens_on_the_loopback_only(sandbox: Outside) -> None:
    with running() as (process, http_port, smtp_port):
        import psutil

        listening = {entry.laddr for entry in psutil.Process(process.pid).net_connections() if entry.status == "LISTEN"}
        assert {tuple(address) for address in listening} == {("127.0.0.1", http_port), ("127.0.0.1", smtp_port)}
