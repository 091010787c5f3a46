"""What Docker knows of a stack: its containers, their health, and what is left of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from scripts.compose.place import Place
from scripts.progress import run
from scripts.refused import Refused

OURS = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
# One that ends again and again will not get well; seconds in which a broker may come that others wait for.
DEAD_WITHIN = 40
# The words for one that runs.
RUNNING = ("healthy", "unhealthy", "starting", "running")


@dataclass(frozen=True)
class Container:
    """A container of a service. `health` is Docker's word: healthy, starting, unhealthy, or its state when it ended."""

    id: str
    service: str
    health: str


def containers(place: Place) -> list[Container]:
    """Return the stack's containers, also those that ended; what `docker compose run` made is none."""
    form = f'{{{{.ID}}}}\t{{{{.Label "{SERVICE}"}}}}\t{{{{.State}}}}\t{{{{.Status}}}}'
    filters = ("--filter", f"label={OURS}={place.project}", "--filter", "label=com.docker.compose.oneoff=False")
    lines = run(["docker", "ps", "--all", "--no-trunc", *filters, "--format", form]).splitlines()
    found = []
    for line in lines:
        identity, service, state, status = line.split("\t")
        healths = ("unhealthy", "healthy", "starting")
        said = next((word for word in healths if f"({word})" in status or f": {word})" in status), "running")
        found.append(Container(identity, service, said if state == "running" else state))
    return found


def left(place: Place, volumes: bool) -> list[str]:
    """Return the names of containers, networks and, if asked, volumes that are there under the stack's name."""
    ours = ("--filter", f"label={OURS}={place.project}")
    found = run(["docker", "ps", "--all", *ours, "--format", "container {{.Names}}"]).splitlines()
    found += run(["docker", "network", "ls", *ours, "--format", "network {{.Name}}"]).splitlines()
    if volumes:
        found += run(["docker", "volume", "ls", *ours, "--format", "volume {{.Name}}"]).splitlines()
    return sorted(found)


def wait(place: Place, wanted: Iterable[str], seconds: float, tell: Callable[[str, float], None]) -> None:
    """Return when every container of the wanted services is healthy; `tell` hears of each service.

    Raises Refused with the last line of its log for one that isn't after `seconds`.
    """
    began, missing = time.monotonic(), set(wanted)
    while missing:
        by_service: dict[str, list[Container]] = {name: [] for name in missing}
        for container in containers(place):
            by_service.setdefault(container.service, []).append(container)
        for name in sorted(missing):
            if by_service[name] and all(each.health == "healthy" for each in by_service[name]):
                tell(name, time.monotonic() - began)
                missing.discard(name)
        for name in sorted(missing):
            dead = any(each.health not in RUNNING for each in by_service[name])
            if time.monotonic() - began > (min(seconds, DEAD_WITHIN) if dead else seconds):
                raise Refused(_why_not(name, by_service, time.monotonic() - began))
        time.sleep(0.3)


def _why_not(name: str, by_service: dict[str, list[Container]], seconds: float) -> str:
    ill = [each for each in by_service[name] if each.health != "healthy"]
    if not ill:
        return f"{name} has no container after {seconds:.0f} s: see docker ps, and start again with make compose-up."
    said = run(["sh", "-c", f"docker logs --tail 20 {ill[0].id} 2>&1"]).splitlines()
    last = next((line.strip()[:300] for line in reversed(said) if line.strip()), "its log is empty")
    return f"{name} is {ill[0].health} after {seconds:.0f} s: {last} (all of it: docker logs {ill[0].id[:12]})"
