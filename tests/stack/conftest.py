"""Fixtures of the stack tier."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stack import Stack, running, shell_for


@pytest.fixture
def own_shell(tmp_path: Path) -> dict[str, str]:
    """An environment for a stack that is not started yet: free ports, a folder of its own."""
    return shell_for(tmp_path / "stack")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack for all tests of the tier; at the end it must go without a trace."""
    with running(tmp_path_factory.mktemp("stack")) as stack:
        yield stack
