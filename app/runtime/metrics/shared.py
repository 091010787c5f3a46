"""Pool process -> main process: what tasks published, in memory that both have."""

from __future__ import annotations

import mmap
import threading
from collections import Counter
from collections.abc import Sequence

# Pairs of a task and a queue that one pool process tells apart; a row is 4 KiB.
PAIRS = 255
_CELLS = 2 * (PAIRS + 1)


class Rows:
    """One row for each pool process, written by it alone, so no lock is shared that its death would leave locked.

    A row is a list of (what, how often): `what` is a task and a queue as one number, 0 ends the list, and the last
    place counts what found none. A row outlives its pool process, and the next one in its place goes on with it.
    """

    def __init__(self, names: Sequence[str], queues: Sequence[str], rows: int) -> None:
        """To be called before the first pool process is forked. rows: how many there are at a time."""
        self._names, self._queues, self._rows = tuple(names), tuple(queues), max(1, rows)
        self._name_numbers = {name: number for number, name in enumerate(self._names)}
        self._queue_numbers = {name: number for number, name in enumerate(self._queues)}
        # A page of memory that nobody writes to costs nothing.
        self._cells = memoryview(mmap.mmap(-1, self._rows * _CELLS * 8)).cast("Q")
        self._start: int | None = None
        self._places: dict[int, int] = {}

    def take(self, row: int) -> None:
        """Have this process, a pool's, write to its row."""
        self._lock = threading.Lock()
        self._start = row % self._rows * _CELLS
        numbers = self._cells[self._start : self._start + _CELLS - 2 : 2].tolist()
        self._places = {number: 2 * place for place, number in enumerate(numbers) if number}

    def leave(self) -> None:
        """Have this process, forked from a pool's, write nowhere."""
        self._start = None

    def count(self, name: str, queue: str) -> None:
        """Count a published task; nothing happens in a process without a row."""
        if self._start is None:
            return
        number = self._number(name, queue)
        with self._lock:
            place = self._places.get(number)
            if place is None:
                place = 2 * min(len(self._places), PAIRS)
                if place < 2 * PAIRS:
                    self._places[number] = place
                    self._cells[self._start + place] = number
            self._cells[self._start + place + 1] += 1

    def totals(self) -> Counter[tuple[str, str]]:
        """Return how often each task was published to each queue; an empty name stands for any other."""
        found: Counter[tuple[str, str]] = Counter()
        for start in range(0, self._rows * _CELLS, _CELLS):
            cells = self._cells[start : start + _CELLS].tolist()
            for number, times in zip(cells[::2], cells[1::2], strict=True):
                if times:
                    found[self._pair(number)] += times
        return found

    def _number(self, name: str, queue: str) -> int:
        names, queues = len(self._names), len(self._queues)
        return 1 + self._name_numbers.get(name, names) * (queues + 1) + self._queue_numbers.get(queue, queues)

    def _pair(self, number: int) -> tuple[str, str]:
        if not number:
            return "", ""
        name, queue = divmod(number - 1, len(self._queues) + 1)
        return (*self._names, "")[name], (*self._queues, "")[queue]
