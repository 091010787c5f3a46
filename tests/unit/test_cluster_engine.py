"""Finding a Docker Engine, on machines that have none: each answer is a sentence with the way out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine without Docker; what is put into its `bin` is on PATH."""
    (tmp_path / "bin").mkdir()
    return {"PATH": str(tmp_path / "bin"), "XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}


def engine(verb: str, machine: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scripts.cluster.engine", verb]
    return subprocess.run(command, cwd=ROOT, env=machine, capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize("verb", ["up", "env", "status"])
def test_without_docker_it_says_how_to_get_one(machine: dict[str, str], verb: str) -> None:
    answer = engine(verb, machine)
    assert answer.returncode == 1
    assert answer.stderr.startswith("There is no Docker on this machine: install Docker")
    assert "CLUSTER_ENGINE=private" in answer.stderr
    assert not answer.stdout


def test_docker_that_is_installed_but_not_running_is_told_apart(machine: dict[str, str]) -> None:
    # The daemon's program is looked for and never started.
    program = Path(machine["PATH"]) / "dockerd"
    program.write_text("")
    program.chmod(0o755)
    answer = engine("up", machine)
    assert answer.returncode == 1
    assert answer.stderr.startswith("Docker is installed but not running: start it")


def test_an_engine_that_is_no_word_is_refused(machine: dict[str, str]) -> None:
    answer = engine("up", machine | {"CLUSTER_ENGINE": "podman"})
    assert answer.returncode == 2
    assert answer.stderr == "CLUSTER_ENGINE is 'podman': allowed is private, or nothing for the daemon that runs.\n"


def test_taking_down_what_is_not_there_changes_nothing(machine: dict[str, str]) -> None:
    answer = engine("down", machine)
    assert answer.returncode == 0
    assert answer.stdout == "There is no private Docker Engine, nothing changed.\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_a_private_engine_without_root_is_refused(machine: dict[str, str], tmp_path: Path) -> None:
    words = "import os; from scripts.cluster import private_engine; os.setuid(65534); private_engine.install()"
    command = [sys.executable, "-c", words]
    answer = subprocess.run(command, cwd=ROOT, env=machine, capture_output=True, text=True, timeout=30)
    assert "A private Docker Engine needs root" in answer.stderr
