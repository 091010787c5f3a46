"""Images of a small Debian and some of its packages, made by mmdebstrap."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from scripts.cluster import cache
from scripts.progress import run, step
from tests.kind import docker

# What no container reads.
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
HINT = "building this image needs root on Debian with mmdebstrap; elsewhere let Docker pull it"


@dataclass(frozen=True)
class Root:
    """A Debian release and what is installed on it."""

    suite: str
    packages: tuple[str, ...]
    # Dockerfile instructions for the image.
    changes: tuple[str, ...] = ()
    # Accounts that must exist before their packages would make them with ids of their own choice.
    users: tuple[tuple[str, int], ...] = ()
    # Shell commands, run outside on the finished root, which is "$1".
    commands: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return cache.digest(self)

    def build(self, image: str) -> None:
        """Make the image. Raises Refused with the way out."""
        with step(f"Building {image} from Debian's packages"), tempfile.TemporaryDirectory() as folder:
            tar = Path(folder) / "root.tar"
            self.tar(tar)
            docker.import_tar(image, tar, self.key, self.changes)

    def tar(self, path: Path) -> None:
        """Write the file system to a tar file. Raises Refused with the way out."""
        options = ["--variant=minbase", f"--include={','.join(self.packages)}"]
        options += [f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT]
        for name, number in self.users:
            account = f"{name}:x:{number}:{number}::/nonexistent:/usr/sbin/nologin"
            options.append(
                f'--essential-hook=echo {account} >>"$1/etc/passwd"; echo {name}:x:{number}: >>"$1/etc/group"'
            )
        options += [f"--customize-hook={command}" for command in self.commands]
        run(["mmdebstrap", *options, self.suite, path], hint=HINT)
