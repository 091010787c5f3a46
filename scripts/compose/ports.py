"""Whether the ports that a stack publishes are free, asked before anything is started."""

from __future__ import annotations

from scripts.compose.containers import OURS
from scripts.compose.place import PORTS, Place
from scripts.ports import is_free
from scripts.progress import run
from scripts.refused import Refused


def refuse_taken(place: Place, services: set[str]) -> None:
    """Raise Refused, a sentence for each, for ports of `services` that somebody else has."""
    held = _published()
    sentences = []
    for service, (variable, _) in PORTS.items():
        port = place.ports[service]
        if service not in services or place.project in held.get(port, {}).values() or is_free(port):
            continue
        who = " and ".join(f"container {name}" for name in held.get(port, {})) or "another process"
        free = port + 10 if port < 65000 else port - 10
        way_out = f"end that, or choose another: make compose-up {variable}={free}"
        sentences.append(f"Port {port} for {service} is taken by {who}: {way_out}")
    if sentences:
        raise Refused("\n".join(sentences))


def _published() -> dict[int, dict[str, str]]:
    """Return the containers, with the project of each, by the port of this machine that they have."""
    form = f'{{{{.Names}}}}\t{{{{.Label "{OURS}"}}}}\t{{{{.Ports}}}}'
    found: dict[int, dict[str, str]] = {}
    for line in run(["docker", "ps", "--format", form]).splitlines():
        name, project, ports = line.split("\t")
        for mapping in (part for part in ports.split(", ") if "->" in part):
            number = mapping.partition("->")[0].rpartition(":")[2]
            if number.isdigit():
                found.setdefault(int(number), {})[name] = project
    return found
