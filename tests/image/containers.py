"""Containers as the chart's pods run them: read-only, without capabilities, with /tmp and /run/celery to write to."""

from __future__ import annotations

import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

HARDENED = (
    *("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *("--tmpfs", "/tmp", "--tmpfs", "/run/celery"),
)


def docker(*arguments: str, stdin: str = "", check: bool = True) -> str:
    """Return what a docker command prints; it must succeed unless `check` is off."""
    ran = subprocess.run(["docker", *arguments], input=stdin, capture_output=True, text=True, timeout=110)
    assert not check or ran.returncode == 0, f"docker {' '.join(arguments)}: {ran.stderr}{ran.stdout}"
    return ran.stdout.strip()


def until(condition: Callable[[], Any], seconds: float, what: Callable[[], str]) -> Any:
    """Return what `condition` returns once that is true; fail with `what` when it isn't within `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what()}"
        time.sleep(0.05)
    return value


@dataclass(frozen=True)
class Container:
    """A container by its id."""

    id: str

    def inspect(self, what: str) -> str:
        return docker("inspect", "--format", f"{{{{{what}}}}}", self.id)

    def logs(self) -> str:
        ran = subprocess.run(["docker", "logs", self.id], capture_output=True, text=True, timeout=60)
        return ran.stdout + ran.stderr

    def succeeds(self, *command: str) -> bool:
        """Return whether a command inside succeeds, as an exec probe asks."""
        return subprocess.run(["docker", "exec", self.id, *command], capture_output=True, timeout=60).returncode == 0

    def wait_until(self, what: str, condition: Callable[[], Any], seconds: float = 30) -> Any:
        """Wait for a condition while the container runs; fail with its log when it ends or when time does."""

        def look() -> Any:
            assert self.inspect(".State.Running") == "true", f"it ended before {what}: {self.logs()}"
            return condition()

        return until(look, seconds, lambda: f"{what}: {self.logs()}")

    def stop(self, seconds: float) -> tuple[int, float]:
        """Send PID 1 a SIGTERM, and return its exit code and the seconds that it took."""
        began = time.monotonic()
        docker("kill", "--signal", "TERM", self.id)
        until(lambda: self.inspect(".State.Running") == "false", seconds, lambda: f"it ends: {self.logs()}")
        return int(self.inspect(".State.ExitCode")), time.monotonic() - began


class Network:
    """A network of its own with everything that a test starts in it."""

    def __init__(self) -> None:
        self.name = f"image-test-{uuid.uuid4().hex[:8]}"

    @contextmanager
    def running(
        self,
        image: str,
        *command: str,
        options: tuple[str, ...] = HARDENED,
        environment: Mapping[str, str] | None = None,
    ) -> Iterator[Container]:
        """Run a container in the background until the block ends."""
        given = [word for name, value in (environment or {}).items() for word in ("--env", f"{name}={value}")]
        container = Container(docker("run", "--detach", "--network", self.name, *options, *given, image, *command))
        try:
            yield container
        finally:
            docker("rm", "--force", "--volumes", container.id)

    def run(self, image: str, *command: str, environment: Mapping[str, str] | None = None) -> str:
        """Return what a container prints that must end well by itself."""
        given = [word for name, value in (environment or {}).items() for word in ("--env", f"{name}={value}")]
        return docker("run", "--rm", "--network", self.name, *HARDENED, *given, image, *command)
