"""Everything that can't work is refused with one sentence and an exit code, and nothing is left half started."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields

import pytest

from app.config import Settings
from app.queues import QUEUE_NAMES
from scripts.stack import prometheus
from scripts.stack.place import PORTS, Place, page_of, variable
from scripts.stack.supervision import listeners, members
from tests.conftest import ROOT
from tests.support.stack import Stack, stack_command

# Of every setting that does not take any text: a value that it refuses.
BAD = {
    item.metadata["name"]: "wat" if "URL" not in item.metadata["name"] else "gopher://"
    for item in fields(Settings)
    if item.metadata["allowed"] != "any text"
}
# The first of several, and what this machine may not have.
LEFT_OUT = ("metrics",) if prometheus.program() else ("metrics", "prometheus")


@pytest.fixture
def silent_redis() -> Iterator[socket.socket]:
    """A listener in Redis's place; a connection to it would wait in its backlog."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


@pytest.mark.parametrize("variable", BAD)
def test_a_bad_setting_ends_a_process_before_it_connects(variable: str, silent_redis: socket.socket) -> None:
    refused_start(variable, silent_redis, "-c", "import app.celery_app")


@pytest.mark.parametrize(
    "command",
    [
        ("celery", "-A", "app.celery_app", "worker"),
        ("celery", "-A", "app.celery_app", "beat"),
        ("celery", "-A", "app.celery_app", "flower"),
        ("uvicorn", "app.main:app"),
        ("app.producer", "--list"),
        ("app.queue_cli", "inspect"),
    ],
    ids=" ".join,
)
def test_each_command_refuses_a_bad_setting_in_the_same_way(
    command: tuple[str, ...], silent_redis: socket.socket
) -> None:
    refused_start("CELERY_LEASE_SECONDS", silent_redis, "-m", *command)


def refused_start(variable: str, silent_redis: socket.socket, *command: str) -> None:
    """Start a Python process with a bad `variable`: it must end with one sentence, and without a connection."""
    url = f"redis://127.0.0.1:{silent_redis.getsockname()[1]}/0"
    redis = dict.fromkeys(("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "STORE_URL"), url)
    ran = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=os.environ | redis | {variable: BAD[variable]},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 2
    (sentence,) = ran.stderr.strip().splitlines()
    secret = next(item.metadata["secret"] for item in fields(Settings) if item.metadata["name"] == variable)
    assert sentence.startswith(f"{variable} is ")
    assert ("secret" if secret else repr(BAD[variable])) in sentence
    assert "allowed is " in sentence
    with pytest.raises(BlockingIOError):
        silent_redis.accept()


@pytest.mark.parametrize(("variable", "value"), [("ORDER_RATE_LIMIT", "fast"), ("CELERY_LEASE_SECONDS", "0")])
def test_up_refuses_a_bad_setting(own_shell: dict[str, str], variable: str, value: str) -> None:
    ran = stack_command(own_shell | {variable: value}, "up")
    assert ran.returncode == 2
    assert f"{variable} is {value!r}: allowed is " in ran.stderr
    assert members(Place.from_environment(own_shell)) == []


@pytest.mark.parametrize("value", ["http", "80", "65536", "-1", "٣٠٠٠"])
def test_up_refuses_what_is_no_port(own_shell: dict[str, str], value: str) -> None:
    ran = stack_command(own_shell | {"STACK_API_PORT": value}, "up")
    assert ran.returncode == 2
    assert ran.stderr == f"STACK_API_PORT is {value!r}: allowed is a whole number from 1024 to 65535.\n"


def test_up_refuses_one_port_for_two_processes(own_shell: dict[str, str]) -> None:
    ran = stack_command(own_shell | {"STACK_API_PORT": own_shell["STACK_FLOWER_PORT"]}, "up")
    assert ran.returncode == 2
    assert "STACK_FLOWER_PORT and STACK_API_PORT are both" in ran.stderr


def test_up_refuses_a_port_that_is_one_of_the_pages(own_shell: dict[str, str]) -> None:
    beats = Place.from_environment(own_shell).page("beat")
    ran = stack_command(own_shell | {"STACK_API_PORT": str(beats)}, "up")
    assert ran.returncode == 2
    base = own_shell["STACK_METRICS_PORT"]
    assert f"STACK_API_PORT is {beats}, the port of metrics of beat with STACK_METRICS_PORT={base}" in ran.stderr


@pytest.mark.parametrize("name", [*(name for name in PORTS if name not in LEFT_OUT), page_of("beat")])
def test_up_refuses_a_taken_port_and_says_who_holds_it(own_shell: dict[str, str], name: str) -> None:
    place = Place.from_environment(own_shell)
    with socket.create_server(("127.0.0.1", place.every_port[name])):
        ran = stack_command(own_shell, "up")
    assert ran.returncode == 1
    (sentence,) = ran.stderr.strip().splitlines()
    assert sentence.startswith(f"Port {place.every_port[name]} for {name} is taken by ")
    assert f"(process {os.getpid()})" in sentence
    assert f"make up {variable(name)}=" in sentence
    assert members(place) == []
    assert [port for port in place.every_port.values() if listeners(port)] == []


def test_down_and_status_of_nothing_say_so(own_shell: dict[str, str]) -> None:
    down = stack_command(own_shell, "down")
    assert (down.returncode, down.stdout) == (0, "Nothing is up.\n")
    status = stack_command(own_shell, "status")
    assert status.returncode == 1
    assert "make up" in status.stdout


def test_a_queue_that_is_not_declared_is_refused_and_not_created(stack: Stack) -> None:
    ran = stack.client("app.producer", "tasks.check_status", "--queue", "emial")
    assert ran.returncode == 2
    assert "emial" in ran.stderr
    for name in QUEUE_NAMES:
        assert name in ran.stderr
