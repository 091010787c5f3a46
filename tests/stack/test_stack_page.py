"""The commands of docs/laptop.md work as they stand there, in their order, from nothing to nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.stack.place import Place
from scripts.stack.supervision import members
from tests.conftest import ROOT
from tests.support import cli, documents

PAGE = (ROOT / "docs" / "laptop.md").read_text(encoding="utf-8")
# What each must show.
SHOWN = {
    "make up": r"The first task was finished .* s after the start.*API .*/docs.*End it with: make down",
    # Its supervisor calls a process running after some seconds only.
    "make status": r"worker-email +(starting|running) +yes",
    "make queues": r"QUEUE.*high_priority",
    "make logs NAME=worker-email": r"ready",
    "make down": r"no process and no port is left",
    "make down NOW=1": r"Nothing is up",
}
# Not run, each for its reason.
LEFT_OUT = {
    "make clean": "the tests' own environment would go, too",
    "STACK_API_PORT=8001 make up": "8001 may be somebody's; the stack here got its ports the same way",
}
WRITTEN = list(dict.fromkeys(word for word in documents.quoted(PAGE) if re.match(r"([A-Z_]+=\S+ )*make\b", word)))


def test_every_command_of_the_page_is_run_or_left_out_for_a_reason() -> None:
    assert {*SHOWN, *LEFT_OUT} == set(WRITTEN)


@pytest.mark.timeout(240)
def test_the_commands_work_one_after_the_other(tmp_path: Path, own_shell: dict[str, str]) -> None:
    try:
        for command in (word for word in WRITTEN if word in SHOWN):
            ran = cli.typed(command, own_shell, {})
            assert ran.returncode == 0, f"{command}: {ran.stderr}{ran.stdout}"
            assert re.search(SHOWN[command], ran.stdout, re.DOTALL), f"{command}: {ran.stdout}"
    finally:
        cli.verb("scripts.stack", own_shell, "down", "--now")
    assert members(Place.from_environment(own_shell)) == []
