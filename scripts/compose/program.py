"""Docker Compose: Docker's own plugin when it is recent enough, else the one that came with the Python environment."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts import image
from scripts.compose.place import FILE, Place
from scripts.progress import run
from scripts.refused import Refused
from scripts.versions import ROOT, numbers

# Of Compose: pre_stop. Of the Engine: what docker/compose.yaml was run with.
COMPOSE_MIN, ENGINE_MIN = (2, 30), (20, 10)
# Seconds for a program to say its version.
ANSWERS_WITHIN = 20


@functools.cache
def find() -> tuple[str, ...]:
    """Return the command that is Docker Compose, for the Engine there is.

    Makes this process a client of the Engine. Raises Refused with the way out when something is missing or too old.
    """
    image.use_engine()
    check_engine(_asked("docker", "version", "--format", "{{.Server.Version}}"))
    candidates: tuple[tuple[str, ...], ...] = (
        ("docker", "compose"),
        (str(Path(sys.executable).with_name("docker-compose")),),
    )
    found = {command: _version(_asked(*command, "version", "--short")) for command in candidates}
    return choose(found)


def check_engine(version: str) -> None:
    """Raise Refused for a Docker Engine that is too old."""
    if _version(version) < ENGINE_MIN:
        needed = ".".join(map(str, ENGINE_MIN))
        raise Refused(f"This Docker Engine is {version or 'of no known version'}: update it to {needed} or later.")


def choose(found: dict[tuple[str, ...], tuple[int, ...]]) -> tuple[str, ...]:
    """Return the first command with a version, empty for a missing one, that will do. Raises Refused without any."""
    for command, version in found.items():
        if version >= COMPOSE_MIN:
            return command
    old = [f"{' '.join(command)} is {'.'.join(map(str, version))}" for command, version in found.items() if version]
    needed = ".".join(map(str, COMPOSE_MIN))
    said = f"This Docker Compose is too old ({', '.join(old)})" if old else "There is no Docker Compose on this machine"
    raise Refused(f"{said}: install the plugin docker-compose {needed} or later, or run make venv, which brings one.")


class Compose:
    """Docker Compose for one stack; `images` are those that differ from the last start's."""

    def __init__(self, place: Place, *profiles: str, images: Mapping[str, str] | None = None) -> None:
        self.variables = place.variables(images)
        chosen = [word for name in profiles for word in ("--profile", name)]
        named = ["--env-file", str(ROOT / "versions.env"), "--project-name", place.project, "--file", str(FILE)]
        self.command = [*find(), "--ansi", "never", "--progress", "quiet", *named, *chosen]

    def __call__(self, *arguments: str, hint: str = "see Compose's words above") -> str:
        """Run a command of Compose and return what it prints. Raises Refused with `hint`."""
        return run([*self.command, *arguments], env=self.environment(), hint=hint)

    def through(self, *arguments: str) -> int:
        """Run a command whose words go to stderr as they come, and return its exit code."""
        done = subprocess.run([*self.command, *arguments], env=self.environment(), stdout=sys.stderr)
        return done.returncode

    def environment(self) -> dict[str, str]:
        # COMPOSE_FILE, COMPOSE_PROFILES and the like would name another stack.
        others = {name: value for name, value in os.environ.items() if not name.startswith("COMPOSE_")}
        return others | self.variables

    def services(self) -> dict[str, dict[str, Any]]:
        """Return the services of the profiles, as Compose understands them. Raises Refused."""
        return dict(json.loads(self("config", "--format", "json"))["services"])


def _asked(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWERS_WITHIN)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _version(text: str) -> tuple[int, ...]:
    found = re.search(r"\d+(\.\d+)+", text)
    return numbers(found[0]) if found else ()
