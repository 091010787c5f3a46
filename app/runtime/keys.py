"""Runtime: the names of its keys in the broker's database, before the prefix."""

from __future__ import annotations

EVERY_QUEUE = "every-queue"
PAUSED = "runtime:paused"


def unacked(group: str) -> str:
    """Hash of the messages that the group's workers hold: delivery tag -> message."""
    return f"unacked:{group}"


def unacked_index(group: str) -> str:
    """Sorted set of the same delivery tags by the time of their last renewal, unix seconds."""
    return f"unacked_index:{group}"


def unacked_mutex(group: str) -> str:
    """Lock of the sweep for lapsed leases."""
    return f"unacked_mutex:{group}"


def execution(task_id: str, attempt: str) -> str:
    """Execution mark of one attempt: the owner while it runs, `DONE` for one lease after."""
    return f"runtime:run:{task_id}:{attempt}"


def starts(task_id: str, attempt: str) -> str:
    """Count of the starts of a redelivered message."""
    return f"runtime:starts:{task_id}:{attempt}"


def cancelled(task_id: str) -> str:
    """Cancel mark of a task."""
    return f"runtime:cancelled:{task_id}"


def dead_letters(group: str) -> str:
    """Hash of the group's dead letters: task id -> record as JSON."""
    return f"runtime:dead:{group}"
