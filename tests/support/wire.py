"""Between a client and a server: a proxy that takes its time, and a server that says what no server says."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Listener:
    """Takes connections on a free port, each in a thread of its own, until `close`."""

    def __init__(self) -> None:
        self.closed = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._near: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def serve(self, near: socket.socket) -> None:
        """Speak to the client behind `near` until it goes; OSError is taken for that."""
        raise NotImplementedError

    def close(self) -> None:
        self.closed.set()
        # A thread that waits in accept holds the socket.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for held in (self._listener, *self._near):
            held.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._near.append(near)
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with suppress(OSError), near:
            self.serve(near)


class Slow(Listener):
    """A proxy to `target` on this machine; each answer is late by `delay` seconds, which may be changed."""

    def __init__(self, target: int, delay: float) -> None:
        self.target, self.delay = target, delay
        super().__init__()

    def serve(self, near: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", self.target)) as far:
            threading.Thread(target=self._back, args=(far, near), daemon=True).start()
            while data := near.recv(65536):
                far.sendall(data)

    def _back(self, far: socket.socket, near: socket.socket) -> None:
        with suppress(OSError):
            while data := far.recv(65536):
                self.closed.wait(self.delay)
                near.sendall(data)


class Liar(Listener):
    """Says `words` whenever it hears something; a byte every `pace` seconds, where that is more than 0."""

    def __init__(self, words: bytes, pace: float = 0.0) -> None:
        self.words, self.pace = words, pace
        super().__init__()

    def serve(self, near: socket.socket) -> None:
        while near.recv(65536):
            step = 1 if self.pace else len(self.words)
            for at in range(0, len(self.words), step):
                near.sendall(self.words[at : at + step])
                self.closed.wait(self.pace)
