"""The application's processes on any broker, as the chart starts them: what differs is in the environment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from scripts.ports import free_port
from scripts.stack.processes import WORKER_FLAGS
from tests.conftest import ROOT

CELERY = ("celery", "-A", "app.celery_app")


class Release:
    """One install of the application, its files in `folder`, with `settings` in its environment."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CELERY_", "STORE_"))}
        self.environment = {**kept, "FAULT_TASKS": "true", "LOG_FORMAT": "text", "API_TOKEN": "token", **settings}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *command: str, **settings: str) -> subprocess.Popen[bytes]:
        """Start a Python module as the process `name`."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=ROOT,
                env={**self.environment, "CELERY_HEARTBEAT_DIR": str(self.folder / f"run-{name}"), **settings},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self.processes[name]

    def worker(self, name: str = "worker", **settings: str) -> subprocess.Popen[bytes]:
        """Start a worker of every queue and return once it takes work."""
        process = self.start(
            name, *CELERY, "worker", "-n", f"{name}@{self.folder.name}", "-c", "2", *WORKER_FLAGS, **settings
        )
        self.until(lambda: self.ready(name), 40, f"{name} is ready")
        return process

    def beat(self) -> subprocess.Popen[bytes]:
        """Start a beat and return once it has the lock."""
        process = self.start("beat", *CELERY, "beat", "--loglevel", "INFO")
        self.until(lambda: self.logged("beat", "Acquired lock"), 30, "beat has the lock")
        return process

    def api(self) -> httpx.Client:
        """Start the API; return a client once broker, backend and store answer it."""
        port = free_port()
        self.start("api", "uvicorn", "app.main:app", "--host", "127.0.0.1", "--port", str(port))
        client = _client(port, headers={"Authorization": "Bearer token"})
        self.until(lambda: _answers(client, "/readyz"), 30, "the API is ready")
        return client

    def flower(self) -> httpx.Client:
        """Start Flower; return a client that is logged in."""
        port = free_port()
        options = {"FLOWER_BASIC_AUTH": "flower:word", "FLOWER_READ_ONLY": "true"}
        self.start("flower", *CELERY, "flower", "--address=127.0.0.1", f"--port={port}", **options)
        client = _client(port, auth=("flower", "word"))
        self.until(lambda: _answers(client, "/healthcheck"), 30, "Flower answers")
        return client

    def run(self, *command: str, code: int = 0, within: float = 90, shown: str = "stdout") -> str:
        """Run `python COMMAND` to its end, expect its exit `code`, and return what it printed on stdout or stderr."""
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=within
        )
        assert done.returncode == code, f"{done.returncode}: {done.stdout[-1000:]} {done.stderr[-3000:]}"
        return done.stderr if shown == "stderr" else done.stdout

    def ready(self, name: str) -> bool:
        """Return whether the worker `name` shows that it takes work."""
        assert self.processes[name].poll() is None, f"{name} ended: {self.log(name)[-3000:]}"
        return (self.folder / f"run-{name}" / "ready").exists()

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def logged(self, name: str, text: str) -> bool:
        """Return whether the process wrote `text`; fail when it ended without."""
        ended = self.processes[name].poll() is not None
        found = text in self.log(name)
        assert found or not ended, f"{name} ended: {self.log(name)[-3000:]}"
        return found

    def until(self, condition: Callable[[], Any], seconds: float, what: str) -> float:
        """Wait until `condition` holds and return the seconds it took; fail with `what` and the logs' ends."""
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > seconds:
                logs = "\n".join(f"--- {name}\n{self.log(name)[-2000:]}" for name in self.processes)
                raise AssertionError(f"not within {seconds:.0f} s: {what}\n{logs}")
            time.sleep(0.1)
        return time.monotonic() - began

    def kill(self, name: str) -> None:
        """End a process and its children as the death of its pod does."""
        process = self.processes.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)

    def close(self) -> None:
        for name in list(self.processes):
            self.kill(name)


def _client(port: int, **options: Any) -> httpx.Client:
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False, **options)


def _answers(client: httpx.Client, path: str) -> bool:
    with suppress(httpx.TransportError):
        return client.get(path).status_code == 200
    return False
