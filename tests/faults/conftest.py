"""Fixtures of the fault tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A Redis, a journal, and room for workers with a lease of 6 s."""
    bench = Bench(tmp_path)
    try:
        yield bench
    finally:
        bench.close()
