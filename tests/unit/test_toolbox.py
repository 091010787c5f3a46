"""Tools come from PATH when they are recent enough, else from the cache."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.versions import pinned
from tests.conftest import ROOT


def on_path(folder: Path, name: str, answer: str) -> Path:
    """Put a program of another version on PATH: one that only says so."""
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\necho '{answer}'\n")
    program.chmod(0o755)
    return program


def toolbox(*words: str, path: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PATH": f"{path}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, "-m", "scripts.toolbox", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=110)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("helm", "v3.14.0+g3fc9f4b"),
        ("helm", "v4.0.1"),
        ("kubectl", "Client Version: v1.36.5\nKustomize Version: v5.8.1"),
        ("kind", f"kind v{pinned('KIND_VERSION')} go1.26.8 linux/amd64"),
        ("kubeconform", "v0.8.0"),
        ("promtool", "promtool, version 3.5.0 (branch: HEAD, revision: 8be3a9560fbd)\n  go version: go1.24.5"),
        ("prometheus", "prometheus, version 4.0.1 (branch: HEAD, revision: 8be3a9560fbd)"),
    ],
)
def test_a_recent_tool_is_taken_from_path(tmp_path: Path, name: str, answer: str) -> None:
    program = on_path(tmp_path / "bin", name, answer)
    assert toolbox(name, path=program.parent).stdout == f"{program}\n"


@pytest.mark.parametrize("answer", ["kind v0.20.0 go1.20.4 linux/amd64", "what?"])
def test_an_old_tool_is_passed_over_for_one_of_the_pinned_version(tmp_path: Path, answer: str) -> None:
    program = on_path(tmp_path / "bin", "kind", answer)
    found = toolbox("kind", path=program.parent).stdout.strip()
    assert found != str(program)
    said = subprocess.run([found, "version"], capture_output=True, text=True, timeout=20).stdout
    assert f"v{pinned('KIND_VERSION')}" in said


def test_a_folder_holds_just_the_tools_that_were_asked_for(tmp_path: Path) -> None:
    program = on_path(tmp_path / "bin", "helm", "v3.19.0")
    folder = Path(toolbox("--bin", "helm", path=program.parent).stdout.strip())
    assert {path.name: path.readlink() for path in folder.iterdir()} == {"helm": program}


def test_an_unknown_tool_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    answer = toolbox("kustomize", path=tmp_path)
    assert answer.returncode == 2
    assert answer.stderr.startswith("There is no tool 'kustomize' here: ask for one of helm, ")
