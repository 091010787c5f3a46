"""The few docker commands that the builds need."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from scripts.cluster import engine
from scripts.progress import run

# A built image carries the hash of what went into it; a pulled one has no such label.
KEY = "celery-on-kubernetes.key"


@cache
def _environment() -> dict[str, str]:
    host, _ = engine.up()
    # The classic builder takes base images that exist on this machine alone.
    return engine.environment(host) | {"DOCKER_BUILDKIT": "0"}


def docker(*arguments: str | Path, hint: str = "see Docker's words above") -> str:
    """Run a docker command and return what it prints. Raises Refused with `hint`, a way out."""
    return run(["docker", *arguments], env=_environment(), hint=hint).strip()


def key_of(image: str) -> str | None:
    """Return the key that a local image was built with, empty for a pulled one, None when there is no such image."""
    if not docker("image", "ls", "--quiet", "--filter", f"reference={image}"):
        return None
    return docker("image", "inspect", "--format", f'{{{{index .Config.Labels "{KEY}"}}}}', image)


def import_tar(image: str, tar: Path, key: str, changes: Sequence[str] = ()) -> None:
    """Make an image of a file system; `changes` are Dockerfile instructions."""
    every = [*changes, f"LABEL {KEY}={key}"]
    docker("import", *(word for change in every for word in ("--change", change)), tar, image)


def import_files(image: str, files: Mapping[str, Path], key: str, changes: Sequence[str] = ()) -> None:
    """Make an image of nothing but these executables, by their paths in it, and an empty /tmp."""
    with tempfile.TemporaryDirectory() as folder:
        tar = Path(folder) / "image.tar"
        with tarfile.open(tar, "w") as archive:
            temporary = tarfile.TarInfo("tmp")
            temporary.type, temporary.mode = tarfile.DIRTYPE, 0o1777
            archive.addfile(temporary)
            for path, file in files.items():
                entry = archive.gettarinfo(file, path.lstrip("/"))
                entry.uid = entry.gid = 0
                entry.uname = entry.gname = "root"
                entry.mode = 0o755
                with file.open("rb") as content:
                    archive.addfile(entry, content)
        import_tar(image, tar, key, changes)
