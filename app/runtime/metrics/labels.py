"""Metrics: names that become values of labels, as many as a page can bear."""

from __future__ import annotations

import re
from collections.abc import Container

OTHER = "other"
# Distinct names of tasks, of queues and of exceptions that a process tells apart.
LIMIT = 100
LONGEST = 120
# What Python allows in a name, and what Celery's own names of tasks and queues have besides.
_STRANGE = re.compile(r"[^\w.:@/-]")


class Labels:
    """The first LIMIT names that come keep their own; every other is `other`."""

    def __init__(self, known: Container[str] | None = None) -> None:
        """known: names that there are; any other is folded at once."""
        self._known = known
        self._labels: dict[str, str] = {}

    def of(self, name: object) -> str:
        """Return the label for `name`, cut to LONGEST characters of the harmless kind."""
        if not isinstance(name, str):
            return OTHER
        label = self._labels.get(name)
        if label is None:
            if len(self._labels) >= LIMIT or (self._known is not None and name not in self._known):
                return OTHER
            label = self._labels[name] = _STRANGE.sub("_", name[:LONGEST]) or OTHER
        return label


def class_name(error: BaseException | None) -> str:
    """Return the name of the class of `error`, also of one that could not be sent from a pool process as it was."""
    name = getattr(error, "exc_cls_name", None)
    return name if isinstance(name, str) else type(error).__name__
