"""Runtime: the names of its keys in the broker's database."""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass

from celery import Celery

# The "group" of a development worker that takes every queue.
EVERY_QUEUE = "every-queue"
# Kombu's own, so that producers who know nothing of it agree.
SEPARATOR = "\x06\x16"


@dataclass(frozen=True, slots=True)
class Keys:
    """Key names, each with `prefix` before it. Kombu puts the prefix itself, so its options take `Keys("")`.

    steps: the priorities that have a list of their own; a queue without priorities has the one list of step 0.
    separator: stands between a queue's name and a step other than 0.
    """

    prefix: str = ""
    steps: tuple[int, ...] = (0,)
    separator: str = SEPARATOR

    @classmethod
    def of(cls, app: Celery) -> Keys:
        """Return the names for the prefix and the priorities that `app` gives to kombu."""
        options = app.conf.broker_transport_options
        return cls(
            options.get("global_keyprefix", ""),
            tuple(options.get("priority_steps", (0,))),
            options.get("sep", SEPARATOR),
        )

    def waiting(self, queue: str) -> tuple[str, ...]:
        """Lists of the messages that wait in `queue`, the most urgent list first, each newest first."""
        return tuple(
            f"{self.prefix}{queue}{self.separator}{step}" if step else f"{self.prefix}{queue}" for step in self.steps
        )

    def waiting_at(self, queue: str, priority: int | None) -> str:
        """List for a message of `priority` (0, the most urgent, to 9; None is 0): that of the step below."""
        return self.waiting(queue)[bisect(self.steps, priority or 0) - 1]

    def unacked(self, group: str) -> str:
        """Hash of the messages that the group's workers hold: delivery tag -> message."""
        return f"{self.prefix}unacked:{group}"

    def unacked_index(self, group: str) -> str:
        """Sorted set of the same delivery tags by the time of their last renewal, unix seconds."""
        return f"{self.prefix}unacked_index:{group}"

    def unacked_mutex(self, group: str) -> str:
        """Lock of the sweep for lapsed leases."""
        return f"{self.prefix}unacked_mutex:{group}"

    def held(self, group: str) -> str:
        """Sorted set of the delivery tags that wait in a worker for their eta, by that eta, unix seconds."""
        return f"{self.prefix}eta:{group}"

    def served(self, group: str) -> str:
        """Hash of what the group's workers have done since ever: `tasks`, a count, and `seconds` in slots."""
        return f"{self.prefix}runtime:served:{group}"

    def workers(self, group: str) -> str:
        """Sorted set of the group's workers by the time of their last renewal, unix seconds."""
        return f"{self.prefix}runtime:workers:{group}"

    def running(self, group: str) -> str:
        """Sorted set of those that run something by when the oldest of it began, unix seconds, as of that renewal."""
        return f"{self.prefix}runtime:running:{group}"

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

    def redbeat(self) -> str:
        """What stands before a schedule's name in its key."""
        return f"{self.prefix}redbeat:"

    def schedule(self) -> str:
        """RedBeat's sorted set of schedules' keys by when they are due, unix seconds."""
        return f"{self.redbeat()}:schedule"

    def beat_lock(self) -> str:
        """The lock of the beat that ticks."""
        return f"{self.redbeat()}:lock"
