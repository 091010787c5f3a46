"""The commands that speak to a cluster: docker, kind and kubectl, with the engine and the tools of this project."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from scripts import toolbox
from scripts.cluster import engine
from scripts.progress import run


@dataclass(frozen=True)
class Client:
    """A cluster by its name, on the Docker Engine at `host`."""

    name: str
    host: str

    @property
    def context(self) -> str:
        return f"kind-{self.name}"

    def docker(self, *arguments: str, timeout: float = 120, hint: str = "see Docker's words above") -> str:
        """Return what `docker ...` prints; `timeout` is in seconds. Raises Refused with `hint`."""
        return self._run(Path("docker"), *arguments, timeout=timeout, hint=hint)

    def kind(self, *arguments: str, stdin: str | None = None, timeout: float = 300, hint: str = "see above") -> str:
        """Return what `kind ...` prints; `timeout` is in seconds. Raises Refused with `hint`."""
        return self._run(toolbox.find("kind"), *arguments, stdin=stdin, timeout=timeout, hint=hint)

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 120, hint: str = "see above") -> str:
        """Return what `kubectl ...` prints for this cluster; `timeout` is in seconds. Raises Refused with `hint`."""
        words = ("--context", self.context, *arguments)
        return self._run(toolbox.find("kubectl"), *words, stdin=stdin, timeout=timeout, hint=hint)

    def nodes(self, *filters: str) -> list[str]:
        """Return the names of its node containers, stopped ones too; `filters` are docker's."""
        chosen = [f"label=io.x-k8s.kind.cluster={self.name}", *filters]
        options = [word for each in chosen for word in ("--filter", each)]
        return sorted(self.docker("ps", "--all", "--format", "{{.Names}}", *options).split())

    def ports(self) -> dict[int, int]:
        """Return, for each node port that a port of this machine leads to, that port, as Docker mapped it."""
        nodes = self.nodes("status=running")
        told = self.docker("inspect", "--format", "{{json .NetworkSettings.Ports}}", *nodes) if nodes else ""
        return mapped(told)

    def _run(self, *command: str | Path, stdin: str | None = None, timeout: float, hint: str) -> str:
        return run(command, env=engine.environment(self.host), stdin=stdin, timeout=timeout, hint=hint).strip()


def mapped(told: str) -> dict[int, int]:
    """Return this machine's port for each port of containers; `told` has a line of Docker's JSON for each of them."""
    return {
        int(port.partition("/")[0]): int(binding["HostPort"])
        for line in told.splitlines()
        for port, bindings in json.loads(line).items()
        for binding in bindings or []
    }
