"""What is in the image and what is not: size, user, bytecode, labels, and nothing that a container does not need."""

from __future__ import annotations

import json
import subprocess

import app
from scripts import image as images
from scripts.versions import pinned
from tests.conftest import ROOT
from tests.image.containers import docker

# Bytes on disk; the size over the base is what every node pulls anew for a new version.
LARGEST = 70_000_000


def inside(image: str, script: str, *options: str) -> str:
    """Return what a Python script prints in a container of the image."""
    return docker("run", "--rm", "--interactive", *options, image, "python", "-", stdin=script)


def config(image: str) -> dict[str, object]:
    return dict(json.loads(docker("image", "inspect", "--format", "{{json .Config}}", image)))


def test_it_adds_less_than_70_mb_to_its_base(image: str) -> None:
    assert images.added_bytes(image, pinned("PYTHON_IMAGE")) < LARGEST


def test_it_holds_no_installer_and_no_compiler(image: str) -> None:
    script = """
import importlib.util, pathlib, shutil
print([name for name in ("pip", "ensurepip", "setuptools", "wheel") if importlib.util.find_spec(name)])
print([name for name in ("pip", "pip3", "uv", "cc", "gcc", "g++", "make", "ld", "as") if shutil.which(name)])
print([str(path) for path in pathlib.Path("/").rglob("pip-*") if not path.is_relative_to("/proc")])
"""
    assert inside(image, script).splitlines() == ["[]", "[]", "[]"]


def test_it_runs_as_a_fixed_user_that_is_not_root(image: str) -> None:
    assert config(image)["User"] == "10001:10001"
    assert inside(image, "import os; print(os.getuid(), os.getgid(), os.environ['HOME'])") == "10001 10001 /tmp"


def test_its_user_can_write_nowhere_but_in_tmp_and_in_run_celery(image: str) -> None:
    found = docker("run", "--rm", image, "sh", "-c", "find / -xdev -writable -not -path '/proc/*' 2>/dev/null || true")
    assert sorted(found.split()) == ["/run/celery", "/tmp"]


def test_every_module_of_ours_and_of_the_packages_has_bytecode_that_is_never_compared(image: str) -> None:
    script = """
import importlib.util, pathlib
sources = [path for folder in ("/opt/venv/lib", "/app") for path in pathlib.Path(folder).rglob("*.py")]
caches = {path: pathlib.Path(importlib.util.cache_from_source(str(path))) for path in sources}
# The second word of a cache is its kind: 1 is by hash, unchecked.
bad = [str(path) for path, cache in caches.items() if not cache.exists() or cache.read_bytes()[4] != 1]
print(len(sources) > 1000, bad)
"""
    assert inside(image, script) == "True []"


def test_a_start_compiles_nothing_not_even_of_the_standard_library(image: str) -> None:
    command = ("python", "-v", "-c", "import app.main, celery.bin.worker, celery.worker.worker, flower.command")
    ran = subprocess.run(["docker", "run", "--rm", image, *command], capture_output=True, text=True, timeout=60)
    read = [line for line in ran.stderr.splitlines() if line.startswith("# code object from ")]
    assert len(read) > 500
    assert [line for line in read if ".pyc" not in line] == []


def test_it_holds_the_applications_files_and_no_others_of_this_project(image: str) -> None:
    listed = docker("run", "--rm", image, "find", "/app", "-type", "f", "-not", "-name", "*.pyc")
    ours = [path for path in (ROOT / "app").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert sorted(listed.split()) == sorted(f"/app/{path.relative_to(ROOT)}" for path in ours)


def test_it_knows_the_time_zone_of_the_schedule(image: str) -> None:
    script = "import zoneinfo; from app.celery_app import app; print(zoneinfo.ZoneInfo(app.conf.timezone))"
    assert inside(image, script) == "Asia/Shanghai"


def test_its_labels_say_what_it_is(image: str) -> None:
    labels = config(image)["Labels"]
    assert isinstance(labels, dict)
    assert labels["org.opencontainers.image.title"] == images.REPOSITORY
    assert labels["org.opencontainers.image.version"] == app.__version__


def test_nothing_wraps_the_command(image: str) -> None:
    assert not config(image).get("Entrypoint")
