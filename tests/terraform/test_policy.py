"""The policy scan: clean, or justified in a line; and a scan that sees what it should."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.terraform.packages import programs
from tests.conftest import ROOT

pytestmark = pytest.mark.timeout(280)


def scan(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [programs("checkov") / "checkov", "--directory", folder, "--framework", "terraform", "--skip-download"]
    quiet = {**os.environ, "LOG_LEVEL": "ERROR"}
    return subprocess.run([*command, "--compact", "--quiet"], capture_output=True, text=True, env=quiet, timeout=200)


def test_the_scan_is_clean_and_each_exception_has_a_reason() -> None:
    ended = scan(ROOT / "terraform")
    assert ended.returncode == 0, ended.stdout
    assert int(re.findall(r"Passed checks: (\d+)", ended.stdout)[0]) > 100
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "terraform").rglob("*.tf")]
    skips = re.findall(r"#\s*checkov:skip=(.*)", "\n".join(texts))
    assert [skip for skip in skips if not re.fullmatch(r"CKV2?_AWS_\d+:\S.{7,}", skip)] == []


def test_the_scan_sees_a_broker_without_encryption(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "terraform" / "modules" / "broker", tmp_path / "broker")
    main = tmp_path / "broker" / "main.tf"
    main.write_text(
        re.sub(r"at_rest_encryption_enabled += true", "at_rest_encryption_enabled = false", main.read_text())
    )
    ended = scan(tmp_path)
    assert ended.returncode == 1
    assert "CKV_AWS_29" in ended.stdout
