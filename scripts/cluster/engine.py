"""A Docker Engine: the one that runs, else a private one that is started here and leaves nothing behind.

A private one needs root, and Debian to install what is missing. It is started when CLUSTER_ENGINE is `private` or,
with CLUSTER_ENGINE unset, when CI is set; and it is one per machine, since two would share the firewall's chains.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
from collections.abc import Mapping

from scripts.cluster import private_engine
from scripts.refused import Refused, exit_with


def find() -> str | None:
    """Return the DOCKER_HOST of a daemon that answers: the user's own, else the private one; None without any."""
    if not shutil.which("docker"):
        return None
    own = os.environ.get("DOCKER_HOST") or _context_host()
    return next((host for host in (own, private_engine.host()) if host and private_engine.answers(host)), None)


def environment(host: str) -> dict[str, str]:
    """Return this process's environment as a client of the daemon at `host`."""
    return {name: value for name, value in os.environ.items() if name != "DOCKER_CONTEXT"} | {"DOCKER_HOST": host}


def up() -> tuple[str, bool]:
    """Return the DOCKER_HOST of a daemon, and whether it was started now. Raises Refused with the way out."""
    if found := find():
        return found, False
    if not _private_wanted(os.environ):
        raise Refused(_why_none())
    private_engine.install()
    # Where systemd runs, the package has started a daemon of its own.
    if found := find():
        return found, False
    private_engine.start()
    return private_engine.host(), True


def down() -> bool:
    """Stop the private daemon with all its containers and return whether there was anything of it to clean."""
    return private_engine.stop()


def _private_wanted(variables: Mapping[str, str]) -> bool:
    wanted = variables.get("CLUSTER_ENGINE", "")
    if wanted not in ("", "private"):
        raise Refused(f"CLUSTER_ENGINE is {wanted!r}: allowed is private, or nothing for the daemon that runs.", 2)
    return wanted == "private" or (not wanted and bool(variables.get("CI")))


def _context_host() -> str:
    command = ["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def _why_none() -> str:
    private = "or run it with CLUSTER_ENGINE=private (root on Debian) for one that this project starts and stops itself"
    if shutil.which("dockerd"):
        return f"Docker is installed but not running: start it (sudo systemctl start docker), {private}."
    if shutil.which("docker"):
        host = os.environ.get("DOCKER_HOST") or _context_host() or "its socket"
        return f"There is a docker command, but no Docker Engine answers at {host}: start Docker, {private}."
    return f"There is no Docker on this machine: install Docker (on Debian: sudo apt-get install docker.io), {private}."


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.cluster.engine", description=__doc__.splitlines()[0])
    parser.add_argument("verb", choices=["up", "down", "status", "env"], help="env prints DOCKER_HOST=... for a shell")
    verb = parser.parse_args().verb
    if verb == "down":
        print(
            "The private Docker Engine is stopped." if down() else "There is no private Docker Engine, nothing changed."
        )
        return 0
    if verb == "up":
        host, started = up()
        print(f"The Docker Engine at {host} {'was started' if started else 'runs already, nothing changed'}.")
        return 0
    found = find()
    if not found:
        raise Refused(_why_none())
    print(f"DOCKER_HOST={found}" if verb == "env" else f"The Docker Engine at {found} answers.")
    return 0


if __name__ == "__main__":
    exit_with(main)
