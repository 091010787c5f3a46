"""Files that say the same thing in two places agree: versions, requirements, the README's promises and the Makefile."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import app
from scripts.versions import pinned
from tests.conftest import ROOT
from tests.support import cli
from tests.support.documents import MAKEFILE, TARGETS

LOCKED = sorted((ROOT / "requirements").glob("*.txt"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_version_is_the_same_in_the_code_and_in_the_project() -> None:
    assert PROJECT["version"] == app.__version__


def test_the_python_that_is_asked_for_is_the_one_that_is_checked_and_locked() -> None:
    assert PROJECT["requires-python"] == ">=3.11"
    assert "(3, 11)" in (ROOT / "scripts" / "venv.sh").read_text(encoding="utf-8")
    assert "--python-version 3.11" in MAKEFILE


def test_the_keda_that_people_are_told_to_install_is_the_one_of_the_tests() -> None:
    (told,) = re.findall(
        r"helm install keda .*--version '~(\S+)\.0'", (ROOT / "docs" / "aws.md").read_text(encoding="utf-8")
    )
    # The chart's last number is its own.
    assert told == pinned("KEDA_VERSION").rpartition(".")[0]


@pytest.mark.parametrize("path", LOCKED, ids=ids)
def test_every_locked_package_is_pinned_and_has_its_hashes(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    packages = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert len(packages) > 10
    assert [line for line in packages if not re.match(r"[a-z0-9.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line)] == []


@pytest.mark.parametrize("path", LOCKED, ids=ids)
def test_no_locked_file_names_an_address(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert [word for word in ("://", "--index-url", "--find-links", "--extra-index-url") if word in text] == []


def test_tests_run_with_the_packages_that_the_image_has() -> None:
    def pins(name: str) -> dict[str, str]:
        text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
        return dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", text, re.MULTILINE))

    image, here = pins("app.txt"), pins("dev.txt")
    assert {name: (version, here.get(name)) for name, version in image.items() if here.get(name) != version} == {}


def test_the_readmes_promises_each_name_the_test_that_keeps_them() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition("## The promises")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|") and not line.startswith("| ---")][1:]
    assert len(rows) >= 7
    assert [row for row in rows if "(tests/" not in row] == []


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make as from a shell, also when it was make that started the tests."""
    return subprocess.run(["make", *arguments], cwd=ROOT, env=cli.shell(), capture_output=True, text=True, check=True)


def test_make_without_a_target_lists_every_target() -> None:
    ran = make()
    listed = re.findall(r"^  ([a-z-]+) ", ran.stdout, re.MULTILINE)
    assert listed == TARGETS
    assert ran.stderr == ""


def test_every_phony_target_is_explained() -> None:
    phony = {word for line in re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE) for word in line.split()}
    assert phony == set(TARGETS)


@pytest.mark.parametrize("verb", ["up", "down", "status", "logs"])
def test_the_verb_of_make_is_the_command_that_the_tests_run(verb: str) -> None:
    ran = make("--dry-run", verb)
    assert re.search(rf"bin/python -m scripts\.stack {verb} *$", ran.stdout, re.MULTILINE)


def test_ci_runs_what_a_person_would_type() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "make --keep-going lint test test-faults" in script
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
