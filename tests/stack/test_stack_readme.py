"""The README's examples work as they stand there: each marked block is run by a shell against a real stack."""

from __future__ import annotations

import re

import pytest

from scripts.stack.place import PORTS
from tests.conftest import ROOT
from tests.support import cli
from tests.support.stack import Stack, until

BLOCKS = re.findall(r"<!-- run -->\n```sh\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
# What a block must show, in their order.
SHOWN = (
    r'"task_id":.*"subject": ?"Hello".*"order_id":.*"status": ?"cancelled"',
    r"SUCCESS.*50.*report.*worker-email.*ready",
)


def test_the_readme_has_examples() -> None:
    assert len(BLOCKS) == len(SHOWN)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_an_example_of_the_readme_works_as_it_stands_there(stack: Stack, number: int) -> None:
    ports = {f":{port}": f":{stack.place.ports[name]}" for name, (_, port) in PORTS.items()}

    def shown() -> bool:
        # A person looks again when the mail is not there yet.
        ran = cli.typed(BLOCKS[number], stack.shell, {".stack/": f"{stack.place.folder}/", **ports})
        assert ran.returncode == 0, ran.stderr + ran.stdout
        return re.search(SHOWN[number], ran.stdout, re.DOTALL) is not None

    until(shown, 30, f"{SHOWN[number]} in what the example prints")
