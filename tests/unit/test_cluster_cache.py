"""What is built once: made by one run at a time, whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.cluster import cache
from tests.conftest import ROOT
from tests.support.stack import until

MAKER = """
import sys, time
from pathlib import Path
from scripts.cluster import cache
def make(folder):
    (folder / "half").write_text("")
    print("making", flush=True)
    sys.stdin.readline()
    (folder / "whole").write_text("")
cache.keep("thing", "1", make)
print("kept", flush=True)
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "celery-on-kubernetes"


def maker() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", MAKER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def finish(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()


def test_the_cache_lies_where_the_user_keeps_caches(home: Path) -> None:
    assert cache.root() == home


def test_two_runs_at_once_make_a_thing_once(home: Path) -> None:
    with maker() as first:
        assert said(first) == "making"
        with maker() as second:
            until(lambda: waits_for_a_lock(second.pid), 20, "the second run waits")
            finish(first)
            assert said(first) == "kept"
            assert said(second) == "kept"
    assert (home / "thing-1" / "whole").exists()


def waits_for_a_lock(pid: int) -> bool:
    return f" {pid} " in "".join(line for line in Path("/proc/locks").read_text().splitlines(True) if "->" in line)


def test_a_killed_run_leaves_no_half_thing_and_no_lock(home: Path) -> None:
    with maker() as killed:
        assert said(killed) == "making"
        os.kill(killed.pid, signal.SIGKILL)
    assert not (home / "thing-1").exists()
    with maker() as next_run:
        assert said(next_run) == "making"
        finish(next_run)
        assert said(next_run) == "kept"
    assert sorted(path.name for path in home.iterdir()) == ["locks", "thing-1"]


def test_other_inputs_make_another_thing() -> None:
    assert cache.digest("kind", "0.33.0") != cache.digest("kind", "0.33.1")
    assert cache.digest("ab", "c") != cache.digest("a", "bc")
