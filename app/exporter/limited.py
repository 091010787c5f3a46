"""A look that takes no longer than it may: whatever the other side does, the page is there in time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Limited(Generic[Result]):
    """Runs `work` in a thread, one at a time, and gives it up after `seconds`.

    A socket's timeout bounds one read of it, and a server that answers a byte at a time makes any number of those.
    give_up: makes a `work` that hangs end soon; it is called from another thread.
    """

    def __init__(self, work: Callable[[], Result], seconds: float, give_up: Callable[[], None]) -> None:
        self._work, self._seconds, self._give_up = work, seconds, give_up
        self._thread: threading.Thread | None = None

    def __call__(self) -> Result:
        """Return what `work` returns, or raise what it raises. Raises TimeoutError after `seconds`.

        And at once, while the run before has not ended.
        """
        if self._thread is not None and self._thread.is_alive():
            raise TimeoutError("the look before has not ended")
        outcome: Future[Result] = Future()
        # Not a pool's: the process would wait for that at its end.
        self._thread = threading.Thread(target=self._run, args=(outcome,), daemon=True)
        self._thread.start()
        try:
            return outcome.result(self._seconds)
        except TimeoutError:
            if not outcome.done():
                self._give_up()
                raise TimeoutError(f"no answer within {self._seconds:g} s") from None
            raise

    def _run(self, outcome: Future[Result]) -> None:
        try:
            outcome.set_result(self._work())
        except BaseException as error:
            outcome.set_exception(error)
