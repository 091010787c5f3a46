"""Runtime: the names of its keys in the broker's database."""

from __future__ import annotations

from dataclasses import dataclass

from celery import Celery

# The "group" of a development worker that takes every queue.
EVERY_QUEUE = "every-queue"


@dataclass(frozen=True, slots=True)
class Keys:
    """Key names, each with `prefix` before it. Kombu puts the prefix itself, so its options take `Keys("")`."""

    prefix: str = ""

    @classmethod
    def of(cls, app: Celery) -> Keys:
        """Return the names for the prefix that `app` gives to kombu."""
        return cls(app.conf.broker_transport_options.get("global_keyprefix", ""))

    def waiting(self, queue: str) -> str:
        """List of the messages that wait in `queue`, newest first."""
        return f"{self.prefix}{queue}"

    def unacked(self, group: str) -> str:
        """Hash of the messages that the group's workers hold: delivery tag -> message."""
        return f"{self.prefix}unacked:{group}"

    def unacked_index(self, group: str) -> str:
        """Sorted set of the same delivery tags by the time of their last renewal, unix seconds."""
        return f"{self.prefix}unacked_index:{group}"

    def unacked_mutex(self, group: str) -> str:
        """Lock of the sweep for lapsed leases."""
        return f"{self.prefix}unacked_mutex:{group}"

    def execution(self, task_id: str, attempt: str) -> str:
        """Execution mark of one attempt: the owner while it runs, `done` for one lease after."""
        return f"{self.prefix}runtime:run:{task_id}:{attempt}"

    def starts(self, task_id: str, attempt: str) -> str:
        """Count of the starts of a redelivered message."""
        return f"{self.prefix}runtime:starts:{task_id}:{attempt}"

    def cancelled(self, task_id: str) -> str:
        """Cancel mark of a task."""
        return f"{self.prefix}runtime:cancelled:{task_id}"

    def dead_letters(self, group: str) -> str:
        """Hash of the group's dead letters: task id -> record as JSON."""
        return f"{self.prefix}runtime:dead:{group}"

    def paused(self) -> str:
        """Set of the names of paused queues."""
        return f"{self.prefix}runtime:paused"
