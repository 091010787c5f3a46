"""Promise: the health command says alive or dead by the age of a file, with the reason, in an exit code."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from app.runtime import health


def touched(folder: Path, name: str, seconds_ago: float) -> None:
    path = folder / name
    path.touch()
    then = time.time() - seconds_ago
    os.utime(path, (then, then))


@pytest.mark.parametrize(("component", "name"), [("worker", "alive"), ("beat", "tick")])
def test_a_fresh_file_is_healthy_and_an_old_one_is_not(tmp_path: Path, component: str, name: str) -> None:
    touched(tmp_path, name, 1)
    assert health.main([component, "--dir", str(tmp_path)]) == 0
    touched(tmp_path, name, 1000)
    assert health.main([component, "--dir", str(tmp_path)]) == 1


def test_a_worker_that_takes_no_work_is_alive_but_not_ready(tmp_path: Path) -> None:
    touched(tmp_path, "alive", 1)
    assert health.main(["worker", "--dir", str(tmp_path)]) == 0
    assert health.main(["worker", "--dir", str(tmp_path), "--ready"]) == 1
    (tmp_path / "ready").touch()
    assert health.main(["worker", "--dir", str(tmp_path), "--ready"]) == 0


def test_a_worker_that_never_started_says_where_it_looked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert health.main(["worker", "--dir", str(tmp_path), "--json"]) == 1
    assert "CELERY_HEARTBEAT_DIR" in json.loads(capsys.readouterr().out)["reason"]


def test_no_folder_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CELERY_HEARTBEAT_DIR", raising=False)
    with pytest.raises(SystemExit) as ended:
        health.main(["worker"])
    assert ended.value.code == 2
