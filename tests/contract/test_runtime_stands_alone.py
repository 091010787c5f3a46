"""The runtime installs into any Celery application: it may import nothing of the example."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

MODULES = sorted(Path("app/runtime").glob("*.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where a thing comes from"
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_it_imports_nothing_of_the_example(path: Path) -> None:
    foreign = [name for name in imported(path) if name.startswith("app") and not name.startswith("app.runtime")]
    assert foreign == []


def test_there_is_a_runtime_to_look_at() -> None:
    assert len(MODULES) > 10
