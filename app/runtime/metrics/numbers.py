"""Metrics: counters and histograms in plain memory."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter

# Upper bounds in seconds: from a trivial task to the longest that anybody waits for. Objectives should be among them.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)

Labelling = tuple[str, ...]


class Histogram:
    """How many observations fell under each bound, the last cell being those above all, and their sum."""

    def __init__(self) -> None:
        self.cells = [0] * (len(BUCKETS) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Add an observation; a clock that differs from another's makes none negative."""
        self.cells[bisect_left(BUCKETS, seconds)] += 1
        self.sum += max(0.0, seconds)

    def copy(self) -> Histogram:
        """Return another one with the same observations."""
        other = Histogram()
        other.cells, other.sum = self.cells[:], self.sum
        return other


class Numbers:
    """The numbers of a process by metric and labels. The lock is for its threads; no pool process comes here."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: dict[str, Counter[Labelling]] = {}
        self._histograms: dict[str, dict[Labelling, Histogram]] = {}

    def count(self, metric: str, *labels: str, by: int = 1) -> None:
        """Add `by` to a counter; 0 makes it appear."""
        with self._lock:
            counter = self._counters.get(metric)
            if counter is None:
                counter = self._counters[metric] = Counter()
            counter[labels] += by

    def observe(self, metric: str, *labels: str, seconds: float) -> None:
        """Add an observation to a histogram."""
        with self._lock:
            histograms = self._histograms.setdefault(metric, {})
            histogram = histograms.get(labels)
            if histogram is None:
                histogram = histograms[labels] = Histogram()
            histogram.observe(seconds)

    def counters(self, metric: str) -> Counter[Labelling]:
        """Return a copy of a counter's values by labels."""
        with self._lock:
            return Counter(self._counters.get(metric, {}))

    def histograms(self, metric: str) -> dict[Labelling, Histogram]:
        """Return a copy of a histogram's cells by labels."""
        with self._lock:
            return {labels: histogram.copy() for labels, histogram in self._histograms.get(metric, {}).items()}
