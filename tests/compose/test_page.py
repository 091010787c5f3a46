"""The commands of docs/compose.md work as they stand there, on the tests' own ports and folder."""

from __future__ import annotations

import re

import pytest

from scripts.compose import program
from scripts.compose.place import PORTS
from tests.conftest import ROOT
from tests.support import cli, documents
from tests.support.compose import Stack
from tests.support.stack import until

PAGE = (ROOT / "docs" / "compose.md").read_text(encoding="utf-8")
VERBS, MAIL, PROCESSES = documents.blocks(PAGE)
SCALE = 'make compose-up SCALE="worker-email=3"'
IMAGES = "docker image ls 'celery-on-kubernetes*'"
QUOTED = {word for word in documents.quoted(PAGE) if re.match(r"(make|docker|install|curl) ", word)}
# Not run, each for its reason.
LEFT_OUT = {
    "make venv": "the tests run in it",
    "make compose-up": "of the first block",
    "make compose-down": "of the first block",
    "make compose-down PURGE=1": "the next tests' stack would be another; each run of this tier ends with a purge",
    "docker inspect": "a word in a sentence",
    "docker kill": "a word in a sentence",
    "docker stop": "a word in a sentence",
    "docker ps": "a word in a sentence",
    "docker volume rm celery_grafana": "Grafana's image can't be had on every machine",
    "install -m 444 mine .compose/secrets/smtp-url": "there is no mail server but the sandbox",
}


def typed(stack: Stack, script: str) -> str:
    ports = {f":{port}": f":{stack.place.ports[service]}" for service, (_, port) in PORTS.items()}
    # The page names the plugin; where there is none, the one that `make venv` brought stands in.
    own = {".compose/": f"{stack.place.folder}/", "docker compose": " ".join(program.find())}
    ran = cli.typed(script, stack.shell, own | ports)
    assert ran.returncode == 0, f"{script}: {ran.stderr}{ran.stdout}"
    return ran.stdout


def test_every_command_of_the_page_is_run_or_left_out_for_a_reason() -> None:
    assert {SCALE, IMAGES, *LEFT_OUT} == QUOTED


@pytest.mark.timeout(240)
def test_the_verbs_work_and_another_up_brings_as_many_containers_as_asked_for(stack: Stack) -> None:
    up, smoke, down = VERBS.splitlines()
    assert "The stack is up already, nothing changed." in typed(stack, up)
    assert len(re.findall(r"^ +ok", typed(stack, smoke), re.MULTILINE)) > 8
    assert "no container and no network is left" in typed(stack, down)
    said = typed(stack, SCALE)
    assert re.search(r"The first task was finished .* s after the start.*End it with: make compose-down", said, re.S)
    assert len(stack.containers("worker-email")) == 3
    typed(stack, up)
    assert len(stack.containers("worker-email")) == 2


def test_a_mail_that_is_sent_is_among_the_newest(stack: Stack) -> None:
    # A person looks again when the mail is not there yet.
    until(lambda: re.search(r'"task_id".*"subject": ?"Hello"', typed(stack, MAIL), re.DOTALL), 30, "the mail is there")


def test_docker_shows_containers_and_images_without_make(stack: Stack) -> None:
    shown = typed(stack, PROCESSES)
    assert {each.service for each in stack.containers()} <= set(shown.split())
    assert {"celery-on-kubernetes", "celery-on-kubernetes-sandbox"} <= set(typed(stack, IMAGES).split())
