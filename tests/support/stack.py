"""A stack for tests: started by the very code of `make up`, on free ports, in a folder of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from scripts.ports import free_port
from scripts.refused import Refused
from scripts.stack.place import PAGES, PORTS, Place, client_environment
from scripts.stack.supervision import Supervisor, listeners, members
from tests.conftest import ROOT
from tests.support import cli

# What differs from the shipped settings: tests may ask for trouble, and don't wait for a rate or a long lock.
SETTINGS = {"FAULT_TASKS": "true", "ORDER_RATE_LIMIT": "", "CELERY_BEAT_LOCK_SECONDS": "15"}


@dataclass(frozen=True)
class Stack:
    """A running stack. `shell` is what its owner's shell holds, `env` makes a process its client."""

    place: Place
    shell: dict[str, str]
    started: dict[str, Any]

    @property
    def env(self) -> dict[str, str]:
        return client_environment(self.place, self.shell)

    @property
    def api_url(self) -> str:
        return self.place.url("api")

    @property
    def api_token(self) -> str:
        return self.place.api_token

    @property
    def sandbox_url(self) -> str:
        return self.place.url("sandbox")

    @property
    def flower_url(self) -> str:
        return self.place.url("flower")

    @property
    def flower_login(self) -> tuple[str, str]:
        return self.place.flower_login

    @property
    def redis_url(self) -> str:
        return self.place.redis_url()

    def log(self, name: str) -> str:
        return self.place.log(name).read_text(errors="replace")

    def pids(self) -> dict[str, int]:
        """Return the main process of each, by name."""
        return {name: state["pid"] for name, state in Supervisor(self.place).states().items()}

    def command(self, verb: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return stack_command(self.shell | variables, verb, *arguments)

    def client(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a Python module as a client of the stack."""
        run = [sys.executable, "-m", *command]
        return subprocess.run(run, cwd=ROOT, env=self.env | variables, capture_output=True, text=True, timeout=90)

    def send(self, task: str, *arguments: object, options: tuple[str, ...] = ()) -> dict[str, Any]:
        """Send one task with the producer's command line and return its account."""
        ran = self.client("app.producer", task, "--args", json.dumps(arguments), "--json", *options)
        assert ran.returncode == 0, ran.stderr + ran.stdout
        return dict(json.loads(ran.stdout))


def stack_command(shell: dict[str, str], verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return cli.verb("scripts.stack", shell, verb, *arguments)


def until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Return what `condition` returns once that is true; fail with `what` when it isn't within `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)
    return value


def holds(condition: Callable[[], Any], seconds: float, what: str) -> None:
    """Watch that `condition` stays true for `seconds`; fail with `what` as soon as it isn't."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert condition(), f"no longer true: {what}"
        time.sleep(0.1)


@contextmanager
def running(folder: Path, **settings: str) -> Iterator[Stack]:
    """Run a stack with `settings` in `folder`; at the end it must go without a trace."""
    shell = shell_for(folder, **settings)
    place = Place.from_environment(shell)
    ran = stack_command(shell, "up", "--json")
    assert ran.returncode == 0, ran.stderr + ran.stdout
    try:
        yield Stack(place, shell, json.loads(ran.stdout))
    finally:
        known = members(place)
        ran = stack_command(shell, "down", "--now")
    assert ran.returncode == 0, ran.stderr + ran.stdout
    assert "no process and no port is left" in ran.stdout
    _, left = psutil.wait_procs(known, timeout=5)
    assert left == []
    assert [port for port in place.every_port.values() if listeners(port)] == []


def shell_for(folder: Path, **settings: str) -> dict[str, str]:
    """Return an environment for a stack that is not started yet: free ports, a folder of its own."""
    shell = cli.shell()
    while True:
        ports = {variable: str(free_port(len(PAGES))) for variable, _ in PORTS.values()}
        # Two of them may be one, or one among the pages'.
        with suppress(Refused):
            Place.from_environment(ports)
            return shell | SETTINGS | settings | ports | {"STACK_DIR": str(folder)}
