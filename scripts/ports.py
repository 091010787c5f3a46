"""Ports for a stack or a test of its own: free now, and unlikely to be taken before they are used."""

from __future__ import annotations

import random
import socket


def free_port(span: int = 1) -> int:
    """Return a TCP port on which nothing listens on the loopback, nor on the next ones, `span` in all.

    It lies below the range from which the kernel takes the ports of outgoing connections, so that one of those
    can't take it between this call and the bind. Raises RuntimeError when a thousand tries find none.
    """
    for port in random.sample(range(20000, 32000), 1000):
        if all(_is_free(port + step) for step in range(span)):
            return port
    raise RuntimeError("No free port between 20000 and 32000 on 127.0.0.1: end what holds them (ss -ltnp lists it).")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
