"""What can't work is refused with one sentence, and nothing is half made."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from scripts.compose import containers
from scripts.compose.place import Place
from tests.support.compose import Stack, command, shell_for


def refused(ran: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert ran.returncode == code, ran.stderr + ran.stdout
    # What programs and steps say beside it begins with blanks.
    sentences = [line for line in ran.stderr.splitlines() if line and not line.startswith(" ")]
    assert len(sentences) == 1, ran.stderr
    for word in words:
        assert word in sentences[0]


def test_a_port_that_somebody_has(stack: Stack, tmp_path: Path) -> None:
    shell = shell_for(tmp_path / "place")
    with socket.create_server(("127.0.0.1", int(shell["PORT_FLOWER"]))):
        ran = command(shell, "up")
    refused(
        ran, 1, f"Port {shell['PORT_FLOWER']} for flower is taken by another process", "make compose-up PORT_FLOWER="
    )
    assert containers.left(Place.from_environment(shell), volumes=True) == []
    assert [path.name for path in (tmp_path / "place").iterdir()] == ["lock"]


def test_a_port_that_another_stack_has(stack: Stack, tmp_path: Path) -> None:
    shell = shell_for(tmp_path, PORT_API=str(stack.place.ports["api"]))
    refused(command(shell, "up"), 1, f"is taken by container {stack.place.project}-api-1", "PORT_API=")
    assert containers.left(Place.from_environment(shell), volumes=True) == []


def test_a_secret_that_is_gone(stack: Stack) -> None:
    path = stack.place.secret("api-token")
    aside = path.rename(path.with_name("aside"))
    try:
        ran = stack.command("up")
    finally:
        aside.rename(path)
    refused(ran, 1, f"The secret {path} is gone and containers use it", "make compose-down")
    assert stack.up()["changed"] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--profile", "everything"), ("no profile 'everything'", "PROFILE=light, PROFILE=monitoring or PROFILE=full")),
        (("--scale", "beat=2"), ("SCALE names 'beat'", "worker-email")),
        (("--scale", "worker-email=many"), ("SCALE is 'worker-email=many'", "worker-email=3")),
    ],
)
def test_a_word_that_is_none(stack: Stack, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    refused(stack.command("up", *arguments), 2, *words)


def test_no_docker_at_all(tmp_path: Path) -> None:
    shell = {name: value for name, value in shell_for(tmp_path).items() if name not in ("CI", "DOCKER_HOST")}
    ran = command(shell | {"PATH": str(tmp_path), "CLUSTER_ENGINE": ""}, "up")
    refused(ran, 1, "There is no Docker on this machine", "install Docker")


def test_an_image_that_can_not_be_had_is_said_before_anything_is_made(stack: Stack, tmp_path: Path) -> None:
    """Grafana's image is not built here: where it can be pulled, the profile `full` starts it."""
    shell = shell_for(tmp_path / "place")
    there = (
        subprocess.run(["docker", "image", "inspect", "grafana"], capture_output=True, env=os.environ).returncode == 0
    )
    ran = command(shell | {"DOCKER_CONFIG": str(tmp_path)}, "up", "--profile", "full")
    try:
        if ran.returncode == 0 or there:
            assert "grafana" in {each.service for each in containers.containers(Place.from_environment(shell))}
            return
        assert ran.returncode == 1
        assert ran.stderr.splitlines()[-1].startswith("There is no image grafana/grafana")
        assert containers.left(Place.from_environment(shell), volumes=True) == []
    finally:
        command(shell, "down", "--now", "--purge")
