"""A stack of containers for tests: on free ports, in a folder and under a name of its own, gone without a trace."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scripts import image
from scripts.compose import containers
from scripts.compose.place import PORTS, Place
from scripts.compose.program import Compose
from scripts.ports import free_port
from scripts.progress import run
from scripts.refused import Refused
from tests.support import cli
from tests.support.ledger import Ledger

# What differs from what is shipped: tests ask for trouble, and don't wait for a rate, a long lease or a long lock.
SETTINGS = {
    "FAULT_TASKS": "true",
    "ORDER_RATE_LIMIT": "",
    "CELERY_LEASE_SECONDS": "6",
    "CELERY_BEAT_LOCK_SECONDS": "10",
    "COMPOSE_PROJECT_NAME": "",
}


@dataclass
class Stack(Ledger):
    """A running stack. `shell` is what its owner's shell holds; commands run in the container of `teller`."""

    place: Place
    shell: dict[str, str]
    account: dict[str, Any]
    teller: str = "api"

    def command(self, verb: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return command(self.shell | variables, verb, *arguments)

    def up(self, *arguments: str) -> dict[str, Any]:
        """Return the account of a `compose-up`, which must end well."""
        ran = self.command("up", "--json", *arguments)
        assert ran.returncode == 0, ran.stderr + ran.stdout
        return dict(json.loads(ran.stdout))

    def containers(self, service: str = "") -> list[containers.Container]:
        """Return those of a service, or of all."""
        return [each for each in containers.containers(self.place) if service in ("", each.service)]

    def inside(self, container: str, *words: str) -> str:
        """Return what a command prints in a container. Raises Refused when it fails."""
        return run(["docker", "exec", container, *words])

    def beside(self, *words: str) -> str:
        return self.inside(self.containers(self.teller)[0].id, *words)

    def compose(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Compose as a person does."""
        compose = Compose(self.place, "monitoring")
        words, environment = [*compose.command, *arguments], self.shell | compose.environment()
        return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=110)


def command(shell: dict[str, str], verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return cli.verb("scripts.compose", shell, verb, *arguments)


def shell_for(folder: Path, **settings: str) -> dict[str, str]:
    """Return an environment for a stack that is not started yet."""
    shell = cli.shell()
    ports: dict[str, str] = {}
    while len(set(ports.values())) < len(PORTS):
        ports = {variable: str(free_port()) for variable, _ in PORTS.values()}
    own = {"COMPOSE_DIR": str(folder), "COMPOSE_PROJECT_NAME": f"compose-test-{uuid.uuid4().hex[:6]}"}
    return shell | SETTINGS | ports | own | settings


@contextmanager
def running(folder: Path, **settings: str) -> Iterator[Stack]:
    """Run a stack in `folder` on the Docker Engine there is; at the end it must go without a trace."""
    try:
        image.use_engine()
    except Refused as refused:
        pytest.fail(f"These tests need Docker: {refused}", pytrace=False)
    shell = shell_for(folder, **settings)
    place = Place.from_environment(shell)
    ran = command(shell, "up", "--json")
    assert ran.returncode == 0, ran.stderr + ran.stdout
    try:
        yield Stack(place, shell, json.loads(ran.stdout))
    finally:
        ran = command(shell, "down", "--now", "--purge")
    assert ran.returncode == 0, ran.stderr + ran.stdout
    assert "no container and no network is left" in ran.stdout
    assert containers.left(place, volumes=True) == []
    assert [path.name for path in folder.iterdir() if path.name != "lock"] == []
