"""The command-line tools: each from PATH where it is recent enough, else built once at its pinned version."""

from __future__ import annotations

import argparse
import functools
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from scripts.cluster import cache
from scripts.cluster.programs import PROGRAMS
from scripts.refused import Refused, exit_with
from scripts.versions import numbers, pinned

# Seconds for a tool to say its version.
ANSWERS_WITHIN = 20


@dataclass(frozen=True)
class Tool:
    """How a tool is asked for its version, and the oldest that will do."""

    version: tuple[str, ...]
    oldest: tuple[int, ...]


def _tools() -> dict[str, Tool]:
    major, minor, _ = numbers(pinned("KUBERNETES_VERSION"))
    return {
        # The charts install with both Helm 3 and 4.
        "helm": Tool(("version", "--short"), (3, 14)),
        "helm3": Tool(("version", "--short"), (3, 14)),
        # Kubernetes lets kubectl be one minor version older than the cluster.
        "kubectl": Tool(("version", "--client"), (major, minor - 1)),
        "kind": Tool(("version",), numbers(pinned("KIND_VERSION"))),
        "kubeconform": Tool(("-v",), numbers(pinned("KUBECONFORM_VERSION"))),
        "prometheus": Tool(("--version",), (3, 0)),
        "promtool": Tool(("--version",), (3, 0)),
    }


@functools.cache
def find(name: str) -> Path:
    """Return the path of one of the tools. Raises Refused when it can't be had, with a way out."""
    tools = _tools()
    if name not in tools:
        raise Refused(f"There is no tool {name!r} here: ask for one of {', '.join(tools)}.", 2)
    return present(name) or PROGRAMS[name].build()


def present(name: str) -> Path | None:
    """Return the path of one of the tools if it is on PATH or was built before; builds nothing."""
    found = shutil.which(name)
    if found and _recent(found, _tools()[name]):
        return Path(found)
    return PROGRAMS[name].built()


def folder(*names: str) -> Path:
    """Return a folder that holds just the named tools, to be put first on a PATH. Raises Refused."""
    paths = {name: find(name) for name in sorted(set(names or _tools()))}

    def link(target: Path) -> None:
        for name, path in paths.items():
            (target / name).symlink_to(path)

    return cache.keep("bin", cache.digest(sorted(paths.items())), link)


def on_path(*names: str) -> str:
    """Return a PATH on which the named tools, or all of them, come first. Raises Refused."""
    return f"{folder(*names)}{os.pathsep}{os.environ.get('PATH', '')}"


def _recent(path: str, tool: Tool) -> bool:
    try:
        answer = subprocess.run([path, *tool.version], capture_output=True, text=True, timeout=ANSWERS_WITHIN)
    except (OSError, subprocess.TimeoutExpired):
        return False
    found = re.search(r"v?(\d+\.\d+\.\d+)", answer.stdout)
    return found is not None and numbers(found[1]) >= tool.oldest


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.toolbox", description=__doc__)
    parser.add_argument("--bin", action="store_true", help="print one folder that holds them, to be put on PATH")
    parser.add_argument("name", nargs="*", help=f"{', '.join(_tools())}; without a name all of them")
    arguments = parser.parse_args()
    names = arguments.name or list(_tools())
    for path in [folder(*names)] if arguments.bin else [find(name) for name in names]:
        print(path)
    return 0


if __name__ == "__main__":
    exit_with(main)
