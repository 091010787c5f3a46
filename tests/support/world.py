"""The example's outside world for a test: the real sandbox in a thread, and the tasks' settings pointed at it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn

from scripts.sandbox import Fault, Target, World, create


@dataclass(frozen=True, slots=True)
class Outside:
    """A running sandbox: what it was told, and its ports on 127.0.0.1."""

    world: World
    http_port: int
    smtp_port: int

    def fail(self, target: Target, answer: int | str, times: int = 1) -> None:
        self.world.faults[target] = Fault.model_validate({"target": target, "answer": answer, "times": times})


@contextmanager
def outside() -> Iterator[Outside]:
    """Run a sandbox on free ports until the block ends."""
    world = World()
    smtp, http = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(create(world, smtp), log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [http]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert thread.is_alive(), "the sandbox ended while it started"
        assert time.monotonic() < deadline, "the sandbox did not start in 20 s"
        time.sleep(0.01)
    try:
        yield Outside(world, http.getsockname()[1], smtp.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        assert not thread.is_alive(), "the sandbox did not end in 20 s"
