"""The API as it is run in earnest, in a process of its own beside a Redis of its own, so that either can be stopped."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx

from scripts.ports import free_port
from tests.conftest import ROOT
from tests.support.redis import RedisServer


class ApiServer:
    """`uvicorn app.main:app` on a free port, with `settings` in its environment."""

    def __init__(self, folder: Path, redis: RedisServer, **settings: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "api.log"
        addresses = {
            "CELERY_BROKER_URL": redis.database(0),
            "CELERY_RESULT_BACKEND": redis.database(1),
            "STORE_URL": redis.database(2),
        }
        self.environment = {**os.environ, **addresses, **settings}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, timeout: float = 30) -> None:
        """Start the server and return once it answers; raises RuntimeError with its log when it doesn't."""
        command = [sys.executable, "-m", "uvicorn", "app.main:app", "--port", str(self.port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                httpx.get(f"{self.url}/healthz", timeout=1)
                return
            except httpx.TransportError:
                time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"the API did not answer: {self.log.read_text()}")

    def kill(self) -> None:
        """End it as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(timeout=20)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=20)
