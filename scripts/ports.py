"""Ports: those that somebody chooses by variables, and free ones for a stack or a test of its own."""

from __future__ import annotations

import errno
import random
import socket
from collections.abc import Mapping

from scripts.refused import Refused

LOWEST, HIGHEST = 1024, 65535


def read(
    environment: Mapping[str, str], variable: str, default: int, highest: int = HIGHEST, lowest: int = LOWEST
) -> int:
    """Return the port that a variable names, or the default. Raises Refused for what is none."""
    text = environment.get(variable) or str(default)
    if not text.isascii() or not text.isdigit() or not lowest <= int(text) <= highest:
        raise Refused(f"{variable} is {text!r}: allowed is a whole number from {lowest} to {highest}.", 2)
    return int(text)


def read_all(
    environment: Mapping[str, str], rules: Mapping[str, tuple[str, int]], lowest: int = LOWEST
) -> dict[str, int]:
    """Return the port of each name by its variable and default. Raises Refused for what is none, or is named twice."""
    holders: dict[int, str] = {}
    ports = {name: read(environment, variable, default, lowest=lowest) for name, (variable, default) in rules.items()}
    for name, port in ports.items():
        other = holders.setdefault(port, name)
        if other != name:
            raise Refused(f"{rules[other][0]} and {rules[name][0]} are both {port}: give each a port of its own.", 2)
    return ports


def free_port(span: int = 1) -> int:
    """Return a TCP port on which nothing listens on the loopback, nor on the next ones, `span` in all.

    It lies below the range from which the kernel takes the ports of outgoing connections, so that one of those
    can't take it between this call and the bind. Raises RuntimeError when a thousand tries find none.
    """
    for port in random.sample(range(20000, 32000), 1000):
        if all(is_free(port + step) for step in range(span)):
            return port
    raise RuntimeError("No free port between 20000 and 32000 on 127.0.0.1: end what holds them (ss -ltnp lists it).")


def is_free(port: int) -> bool:
    """Return whether nobody listens on a port of the loopback; one that only root may bind is free, to Docker."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError as error:
            return error.errno != errno.EADDRINUSE
    return True
