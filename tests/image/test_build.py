"""The build: a name that follows from the content, and a company's proxy, certificates and index that stay outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import certifi
import pytest
import trustme

from scripts import image as images
from scripts.compose.__main__ import SANDBOX
from scripts.versions import pinned
from tests.conftest import ROOT
from tests.image.containers import docker

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
# Stands for a word that only the builder may know.
MARK = "index.that.needs.a.password.example"


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    run = [sys.executable, "-m", "scripts.image", *arguments]
    return subprocess.run(run, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=110)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A bundle of a company: what the machine trusts and a certificate of its own, which is also given."""
    own = trustme.CA(organization_name="A company").cert_pem.bytes().decode()
    bundle = tmp_path_factory.mktemp("company") / "bundle.pem"
    bundle.write_text(Path(os.environ.get("SSL_CERT_FILE", certifi.where())).read_text() + "\n" + own)
    return bundle, own.strip()


@pytest.fixture(scope="module")
def company(image: str, authority: tuple[Path, str]) -> Iterator[dict[str, str]]:
    """Two images built behind a company's proxy: as always, and one that keeps the certificates."""
    environment = {
        "SSL_CERT_FILE": str(authority[0]),
        "PIP_TRUSTED_HOST": MARK,
        "IMAGE_REPOSITORY": "image-test/company",
    }
    built = {}
    for tag, options in {"plain": (), "trusting": ("--keep-extra-ca",)}.items():
        ran = command("build", "--tag", tag, "--json", *options, **environment)
        assert ran.returncode == 0, ran.stderr
        built[tag] = json.loads(ran.stdout)["reference"]
    assert built["plain"] == "image-test/company:plain"
    yield built
    docker("image", "rm", *built.values())


def test_a_build_passes_on_what_pip_needs_and_keeps_it_out_of_the_image(company: dict[str, str]) -> None:
    known = docker("history", "--no-trunc", company["plain"]) + docker("image", "inspect", company["plain"])
    for word in (MARK, "EXTRA_CA_CERTS", "PIP_", "-----BEGIN"):
        assert word not in known
    assert docker("run", "--rm", company["plain"], "sh", "-c", f"grep -rs {MARK} /opt /app /etc || true") == ""


def test_extra_certificates_are_for_the_build_alone(company: dict[str, str]) -> None:
    trusted = docker("run", "--rm", company["plain"], "cat", CERTIFICATES)
    assert trusted == docker("run", "--rm", pinned("PYTHON_IMAGE"), "cat", CERTIFICATES)
    assert docker("run", "--rm", company["plain"], "sh", "-c", "ls /ca.pem 2>/dev/null || true") == ""


def test_extra_certificates_reach_the_image_when_asked_for(
    company: dict[str, str], authority: tuple[Path, str]
) -> None:
    look = "import ssl; print(ssl.create_default_context().get_ca_certs())"
    assert authority[1] in docker("run", "--rm", company["trusting"], "cat", CERTIFICATES)
    assert "A company" in docker("run", "--rm", company["trusting"], "python", "-c", look)


@pytest.fixture
def source(tmp_path: Path) -> images.Source:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "tasks" / "one.py").write_text("ONE = 1\n")
    return images.Source("name", "1.0", tmp_path, "Dockerfile", ("tasks",))


def test_the_same_content_has_the_same_name(source: images.Source) -> None:
    before = source.digest("sha256:base")
    os.utime(source.context / "tasks" / "one.py", (0, 0))
    (source.context / "notes.txt").write_text("no part of it")
    assert source.digest("sha256:base") == before


@pytest.mark.parametrize("change", ["a file's content", "a file's name", "the Dockerfile", "the base"])
def test_other_content_has_another_name(source: images.Source, change: str) -> None:
    before, one = source.digest("sha256:base"), source.context / "tasks" / "one.py"
    if change == "a file's content":
        one.write_text("ONE = 2\n")
    elif change == "a file's name":
        one.rename(one.with_name("two.py"))
    elif change == "the Dockerfile":
        (source.context / "Dockerfile").write_text("FROM other\n")
    assert source.digest("sha256:other" if change == "the base" else "sha256:base") != before


def test_the_inputs_are_all_that_docker_is_given() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    given = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    assert given | {".dockerignore"} == {*images.APP.inputs, *SANDBOX.inputs}


def test_a_plain_docker_build_takes_the_same_base() -> None:
    for dockerfile in (ROOT / "docker" / "app.Dockerfile", ROOT / "tests" / "cluster" / "tiny" / "Dockerfile"):
        assert f"ARG PYTHON_IMAGE={pinned('PYTHON_IMAGE')}\n" in dockerfile.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "sentence"),
    [
        (("build", "--tag", "team/app:1"), {}, 2, "is no tag: write letters"),
        (("build",), {"SSL_CERT_FILE": "/nowhere.pem"}, 1, "SSL_CERT_FILE is /nowhere.pem: it can't be read"),
        (("size", "no-such-image:1"), {}, 1, "build it first with make image"),
    ],
)
def test_what_can_not_be_done_is_said_in_a_sentence(
    image: str, arguments: tuple[str, ...], environment: dict[str, str], code: int, sentence: str
) -> None:
    ran = command(*arguments, **environment)
    assert (ran.returncode, ran.stdout) == (code, "")
    assert sentence in ran.stderr
    assert "Traceback" not in ran.stderr
