"""Steady work for a release, while something is done to it."""

from __future__ import annotations

import threading

from tests.support.cluster import Release
from tests.support.stack import until


class Load:
    """Sends short tasks every moment to some queues until it is told to stop, and remembers what was accepted."""

    def __init__(
        self,
        release: Release,
        ledger: str,
        queues: tuple[str, ...] = ("default", "email"),
        seconds: float = 2,
        count: int = 3,
    ) -> None:
        self.release, self.ledger, self.queues, self.sent = release, ledger, queues, list[str]()
        self.seconds, self.count = seconds, count
        self._stop, self._thread = threading.Event(), threading.Thread(target=self._run, daemon=True)
        self.failure: Exception | None = None

    def __enter__(self) -> Load:
        self._thread.start()
        until(lambda: self.sent or self.failure, 60, "the first task is accepted")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self.failure:
            raise self.failure

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                for queue in self.queues:
                    self.sent += self.release.send(
                        "tasks.faults.sleep", self.seconds, self.ledger, count=self.count, queue=queue
                    )
            except Exception as error:  # shown by the test that ends
                self.failure = error
                return
            self._stop.wait(2)
