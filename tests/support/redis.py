"""A real Redis server for a test: started on a free port, suspended, killed and started again by its own process id."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from scripts import redis_server
from scripts.ports import free_port


class RedisServer:
    """One server in `folder`. Without `durable` nothing is written to disk, and a restart is empty."""

    def __init__(self, folder: Path, *, port: int | None = None, durable: bool = False) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.durable = durable
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self.database(0)

    def database(self, number: int) -> str:
        return f"redis://127.0.0.1:{self.port}/{number}"

    def start(self, timeout: float = 20) -> None:
        """Start the server and return once it answers; raises RuntimeError with its log when it doesn't."""
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / "redis.log"
        durable = "yes" if self.durable else "no"
        arguments = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder), "--save", ""]
        arguments += ["--appendonly", durable, "--appendfsync", "everysec", "--logfile", str(log)]
        self.process = subprocess.Popen([redis_server.find(), *arguments], stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with Redis(port=self.port, socket_timeout=1) as client:
                    client.ping()
                return
            except RedisError:
                time.sleep(0.02)
        self.stop()
        raise RuntimeError(f"Redis did not answer on port {self.port}: {log.read_text() if log.exists() else 'no log'}")

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None, "the server was not started"
        self.process.send_signal(number)

    def suspend(self) -> None:
        """Let it hold its connections and answer nothing."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a crash would: nothing is flushed."""
        self.signal(signal.SIGKILL)
        self._reap()

    def stop(self) -> None:
        """End it in order; a server that is suspended or already gone is no error."""
        if self.process is not None and self.process.poll() is None:
            self.resume()
            self.process.terminate()
        self._reap()

    def _reap(self) -> None:
        if self.process is not None:
            self.process.wait(timeout=20)
            self.process = None

    def client(self, database: int = 0) -> Redis:
        return Redis(port=self.port, db=database, socket_timeout=5, decode_responses=True)
