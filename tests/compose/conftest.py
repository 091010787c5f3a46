"""A stack of containers of this tier's own, started by the code of `make compose-up` beside any other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.compose import Stack, running


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("compose")) as stack:
        yield stack
