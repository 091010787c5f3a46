"""The bench of the fault tests: a Redis to stop, workers to kill, a wire to cut, and a journal that remembers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from scripts import redis_server
from scripts.ports import free_port
from scripts.stack.processes import WORKER_FLAGS
from tests.conftest import ROOT
from tests.support import stack

POLL = 0.1


def wait_for(what: str, condition: Callable[[], object], within: float) -> float:
    """Wait until `condition` is true, and return the seconds it took; fail with `what` after `within` seconds."""
    began = time.monotonic()
    while True:
        if condition():
            return time.monotonic() - began
        if time.monotonic() - began > within:
            raise AssertionError(f"not within {within:.0f} s: {what}")
        time.sleep(POLL)


def holds(what: str, condition: Callable[[], object], seconds: float) -> None:
    """Watch that `condition` stays true for `seconds`; fail with `what` as soon as it isn't."""
    stack.holds(condition, seconds, what)


class Server:
    """A redis-server of the test's own, append-only, on a port that stays."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.client = Redis(port=self.port, socket_timeout=2)
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", ""]
        self.process = subprocess.Popen(
            [redis_server.find(), *arguments, "--appendonly", "yes", "--appendfsync", "always"],
            stdout=subprocess.DEVNULL,
        )
        wait_for("Redis answers", self.answers, within=20)

    def answers(self) -> bool:
        with suppress(RedisError, OSError):
            return bool(self.client.ping())
        return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Process:
    """One Celery process of the bench's application, with its children."""

    arguments: tuple[str, ...]
    heartbeat_file: str

    def __init__(self, bench: Bench, name: str, environment: dict[str, str]) -> None:
        self.name, self.heartbeat = name, bench.folder / f"heartbeat-{name}"
        self.log = bench.folder / f"{name}.log"
        self.began = time.monotonic()
        # A session of its own: a kill of the worker alone leaves its children, as a pod's death would not.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "tests.faults.application", *self.arguments, "--loglevel", "INFO"],
            cwd=ROOT,
            env={**bench.environment, "BENCH_HEARTBEAT_DIR": str(self.heartbeat), "BENCH_NAME": name, **environment},
            stdout=self.log.open("ab"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def logged(self, text: str) -> bool:
        """Return whether the process wrote `text`; fail when it ended before."""
        found = text.encode() in self.log.read_bytes()
        assert found or self.process.poll() is None, f"{self.name} ended: {self.log.read_text()[-2000:]}"
        return found

    def heartbeat_age(self) -> float:
        """Return the seconds since the process touched its heartbeat file; infinite when it never did."""
        with suppress(FileNotFoundError):
            return time.time() - (self.heartbeat / self.heartbeat_file).stat().st_mtime
        return float("inf")

    def kill(self) -> None:
        """Kill the process and its children at once, as the death of its pod does."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self, within: float = 30) -> int:
        """Ask the process to end, and return its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            # Celery writes the stacks of all its threads to the log.
            self.process.send_signal(signal.SIGUSR1)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(2)
            raise AssertionError(f"{self.name} does not end: {self.log.read_text()[-8000:]}") from None


class Worker(Process):
    """A worker, ready."""

    heartbeat_file = "alive"

    def __init__(
        self, bench: Bench, name: str, environment: dict[str, str], flags: tuple[str, ...] | None = None
    ) -> None:
        self.arguments = ("worker", "-n", f"{name}@bench", *(WORKER_FLAGS if flags is None else flags))
        super().__init__(bench, name, environment)
        self.seconds_to_ready = wait_for(f"{name} is ready (see {self.log})", lambda: self.logged(" ready."), within=30)


class Beat(Process):
    """A beat, ticking or waiting for its turn."""

    arguments = ("beat",)
    heartbeat_file = "tick"


class Bench:
    """What one fault test works with; everything it started ends with it."""

    def __init__(self, folder: Path, lease: float = 6.0) -> None:
        self.folder, self.lease = folder, lease
        self.server = Server(folder)
        self.journal_file = folder / "journal"
        self.journal_file.touch()
        self.workers: list[Worker] = []
        self.beats: list[Beat] = []
        self.environment = {
            # Celery lets CELERY_BROKER_URL win over the application's own setting.
            **{name: value for name, value in os.environ.items() if not name.startswith("CELERY_")},
            "BENCH_URL": self.server.url,
            "BENCH_LEASE": str(lease),
            "BENCH_SOCKET_TIMEOUT": "10",
            "BENCH_JOURNAL": str(self.journal_file),
        }

    def worker(self, name: str, flags: tuple[str, ...] | None = None, **environment: str) -> Worker:
        """Start a worker and wait until it is ready."""
        worker = Worker(self, name, environment, flags)
        self.workers.append(worker)
        return worker

    def beat(self, name: str, **environment: str) -> Beat:
        """Start a beat."""
        beat = Beat(self, name, environment)
        self.beats.append(beat)
        return beat

    def send(self, task: str, key: str, *args: object, **options: object) -> str:
        """Publish `task` with `key` from a process of its own; return its id."""
        request = json.dumps(["tests.faults.application." + task, [key, *args], options])
        return self.run(
            f"import json; name, args, options = json.loads({request!r}); "
            "print(app.send_task(name, args, **options).id)"
        )

    def run(self, code: str) -> str:
        """Run `code`, which knows the application as `app`, in a process of its own; return what it printed."""
        done = subprocess.run(
            [sys.executable, "-c", f"from tests.faults.application import app; {code}"],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def journal(self) -> list[str]:
        """Return the lines `start KEY` and `end KEY` in the order they happened."""
        return self.journal_file.read_text().splitlines()

    def count(self, line: str) -> int:
        """Return how often `line` stands in the journal."""
        return self.journal().count(line)

    def in_flight(self) -> int:
        """Return how many messages the group's workers hold."""
        return int(self.server.client.hlen("bench:unacked:bench"))

    def waiting(self) -> int:
        """Return how many messages wait in the queue."""
        return int(self.server.client.llen("bench:work"))

    def settled(self) -> bool:
        """Return whether nothing waits and nothing is in flight."""
        return self.waiting() == 0 and self.in_flight() == 0

    def cut_connections(self) -> None:
        """Reset every client's connection, as a load balancer does."""
        for kind in ("normal", "pubsub"):
            self.server.client.client_kill_filter(_type=kind, skipme=True)

    def close(self) -> None:
        for process in (*self.workers, *self.beats):
            process.kill()
        with suppress(ProcessLookupError):
            self.server.process.send_signal(signal.SIGCONT)
        self.server.kill()


class Wire:
    """A TCP proxy on loopback that can swallow everything without closing, as a dead NAT entry does."""

    def __init__(self, port: int) -> None:
        self.target, self.swallows = port, threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def half_open(self) -> None:
        """Let the connections that stand now go nowhere; new ones work."""
        self.swallows.set()
        self.swallows = threading.Event()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                far = socket.create_connection(("127.0.0.1", self.target))
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(source, sink, self.swallows), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket, swallows: threading.Event) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if not swallows.is_set():
                    sink.sendall(data)
            if not swallows.is_set():
                sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.listener.close()
