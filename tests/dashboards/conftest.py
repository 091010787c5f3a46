"""The stack's own processes with their pages, work of all kinds for them, and a Prometheus that reads the pages."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from grafana.ask import Server
from scripts import rules as chart_rules
from scripts.stack import processes
from scripts.stack import prometheus as stack_prometheus
from scripts.stack.place import Place, client_environment
from scripts.stack.process import Process
from tests.conftest import ROOT
from tests.support.prometheus import reading
from tests.support.stack import shell_for, until

# Seconds of the run that is looked at: two ticks of the schedule that comes each minute.
RUN = 100


@pytest.fixture(scope="session")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Prometheus that has read all pages while work was done, and the span of it."""
    folder = tmp_path_factory.mktemp("run")
    shell = shell_for(folder / "stack")
    place = Place.from_environment(shell)
    place.prepare()
    pages: dict[int, dict[str, str]] = {}
    with ExitStack() as running:
        for process in processes.describe(place, shell):
            if process.name not in ("api", "flower", "prometheus"):
                running.enter_context(_run(place, process, shell, pages))
        (folder / "prometheus").mkdir()
        rules = tuple(chart_rules.RULES.glob("*.yaml"))
        url = running.enter_context(reading(folder / "prometheus", pages, rules))
        start = time.time()
        _work(client_environment(place, shell), place.url("sandbox"))
        yield Server(url, start, time.time())


@contextmanager
def _run(place: Place, process: Process, shell: dict[str, str], pages: dict[int, dict[str, str]]) -> Iterator[None]:
    environment = shell | dict(process.environment)
    found = stack_prometheus.pages([process])
    port = next(iter(found), 0)
    pages |= found
    with place.log(process.name).open("w") as log:
        child = subprocess.Popen(process.command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            until(lambda: child.poll() is not None or _ready(process, port), 90, f"{process.name} is ready")
            assert child.poll() is None, place.log(process.name).read_text()
            yield
        finally:
            # A worker that is asked twice leaves its tasks.
            child.terminate()
            try:
                child.wait(timeout=15)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait(timeout=15)


def _ready(process: Process, port: int) -> bool:
    if port:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/metrics").status_code == 200
        except httpx.TransportError:
            return False
    return True


def _work(environment: dict[str, str], sandbox: str) -> None:
    command = [sys.executable, "-m", "tests.dashboards.load", str(RUN), sandbox]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr + ran.stdout
