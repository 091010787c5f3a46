"""The private Docker Engine in a network of its own: started, killed, started again, stopped; nothing stays behind.

Needs root, and Docker's programs, which `make cluster-up` with CLUSTER_ENGINE=private installs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from scripts.cluster import cache, private_engine
from tests.conftest import ROOT

pytestmark = pytest.mark.timeout(300)


class Machine:
    """A network namespace with no Docker Engine in it, kept by a process that sleeps."""

    def __init__(self, home: Path) -> None:
        self.environment = os.environ | {"XDG_CACHE_HOME": str(home), "CLUSTER_ENGINE": "private"}
        self.environment["DOCKER_HOST"] = f"unix://{home}/no-other.sock"
        self.keeper = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "ip link set lo up; echo up; exec sleep 600"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.keeper.stdout
        assert self.keeper.stdout.readline() == "up\n"

    def run(self, *command: str) -> str:
        inside = ["nsenter", f"--net=/proc/{self.keeper.pid}/ns/net", *command]
        done = subprocess.run(inside, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def engine(self, verb: str) -> str:
        return self.run(sys.executable, "-m", "scripts.cluster.engine", verb)

    def docker(self, *words: str) -> str:
        host = self.engine("env").strip().removeprefix("DOCKER_HOST=")
        return self.run("docker", "--host", host, *words).strip()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    machine = Machine(tmp_path)
    yield machine
    machine.engine("down")
    machine.keeper.kill()
    machine.keeper.wait()


@pytest.fixture
def image(machine: Machine, tmp_path: Path) -> str:
    """An image with one program in it, which sleeps."""
    machine.engine("up")
    subprocess.run(["tar", "-C", "/", "-cf", tmp_path / "root.tar", *_sleep_and_its_libraries()], check=True)
    machine.docker("import", str(tmp_path / "root.tar"), "sleeper")
    return "sleeper"


def _sleep_and_its_libraries() -> list[str]:
    needed = subprocess.run(["ldd", "/usr/bin/sleep"], capture_output=True, text=True, check=True).stdout
    words = [word for word in needed.split() if word.startswith("/")]
    return ["--dereference", "usr/bin/sleep", *(word.lstrip("/") for word in words)]


def left_behind(machine: Machine) -> list[str]:
    """Return what a private engine may have left: its processes, mounts, interfaces and rules."""
    ours = (str(private_engine.state()), str(private_engine.data()))
    processes = [
        each
        for each in psutil.process_iter(["cmdline"])
        if any(o in " ".join(each.info["cmdline"] or []) for o in ours)
    ]
    mounts = [
        line for line in Path("/proc/self/mountinfo").read_text().splitlines() if any(each in line for each in ours)
    ]
    interfaces = [line for line in machine.run("ip", "-o", "link").splitlines() if ": lo:" not in line]
    containers = [path.name for path in (private_engine.data() / "containers").glob("*")]
    groups = [path for path, _, _ in os.walk("/sys/fs/cgroup") if any(name in path for name in containers)]
    rules = [line for line in machine.run("iptables-save").splitlines() if "docker" in line.lower()]
    state = [str(private_engine.state())] if private_engine.state().exists() else []
    return [*map(str, processes), *mounts, *interfaces, *rules, *groups, *state]


def test_a_second_start_changes_nothing_and_a_stop_leaves_nothing(machine: Machine, image: str) -> None:
    assert "runs already, nothing changed" in machine.engine("up")
    machine.docker("run", "--detach", "--privileged", image, "/usr/bin/sleep", "600")
    assert len(left_behind(machine)) > 5
    assert "is stopped" in machine.engine("down")
    assert left_behind(machine) == []


def test_a_killed_engine_is_cleaned_up_and_started_again(machine: Machine, image: str) -> None:
    container = machine.docker("run", "--detach", "--privileged", image, "/usr/bin/sleep", "600")
    inside = int(machine.docker("inspect", "--format", "{{.State.Pid}}", container))
    os.kill(int((private_engine.state() / "docker.pid").read_text()), signal.SIGKILL)
    assert psutil.pid_exists(inside), "a killed daemon leaves its containers running"
    assert "was started" in machine.engine("up")
    assert not psutil.pid_exists(inside)
    assert machine.docker("ps", "--quiet") == ""
    assert machine.docker("run", image, "/usr/bin/sleep", "0") == ""


def test_what_a_killed_engine_left_goes_with_a_stop(machine: Machine, image: str) -> None:
    machine.docker("run", "--detach", image, "/usr/bin/sleep", "600")
    os.kill(int((private_engine.state() / "docker.pid").read_text()), signal.SIGKILL)
    machine.engine("down")
    assert left_behind(machine) == []
    assert cache.root() / "engine" == private_engine.data()
    assert private_engine.data().exists(), "images are kept for the next start"
