"""The runtime installs into any Celery application, the exporter beside it: they may import nothing of the example."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

RUNTIME, EXPORTER = (sorted(Path("app", name).rglob("*.py")) for name in ("runtime", "exporter"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where a thing comes from"
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def foreign(path: Path, *own: str) -> list[str]:
    """Return what `path` imports of `app` beside `own` packages."""
    ours = [name for name in imported(path) if name.partition(".")[0] == "app"]
    return [name for name in ours if not any(name == package or name.startswith(f"{package}.") for package in own)]


@pytest.mark.parametrize("path", RUNTIME, ids=lambda path: path.name)
def test_it_imports_nothing_of_the_example(path: Path) -> None:
    assert foreign(path, "app.runtime") == []


@pytest.mark.parametrize("path", EXPORTER, ids=lambda path: path.name)
def test_the_exporter_imports_nothing_but_the_runtime(path: Path) -> None:
    assert foreign(path, "app.runtime", "app.exporter") == []


def test_there_is_something_to_look_at() -> None:
    assert len(RUNTIME) > 10
    assert len(EXPORTER) > 5


def test_the_two_copied_folders_are_an_exporter(tmp_path: Path) -> None:
    for name in ("runtime", "exporter"):
        shutil.copytree(Path("app", name), tmp_path / "app" / name)
    # Refuses an environment without groups, so everything was imported.
    command = [sys.executable, "-m", "app.exporter"]
    ran = subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr.partition(" is ")[0]) == (2, "EXPORTER_GROUPS")
