"""Metrics: whatever fails here is said once and goes no further."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec

from celery.utils.log import get_logger

logger = get_logger(__name__)

P = ParamSpec("P")
# Kinds of trouble already said: there are as many as there are functions and classes of errors.
_said: set[tuple[str, str]] = set()


def quietly(function: Callable[P, object]) -> Callable[P, None]:
    """Return `function` without its result and without its exceptions, each kind of which is logged once."""

    @functools.wraps(function)
    def safe(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except Exception as error:  # whatever it is, a number is worth less than a task
            say(function.__name__, error)

    return safe


def say(what: str, error: Exception) -> None:
    """Log that `what` met `error`, once for each class of errors."""
    kind = (what, type(error).__name__)
    if kind not in _said:
        _said.add(kind)
        logger.warning("Metrics: %s failed, and tasks go on without it: %s: %s", what, kind[1], error)
