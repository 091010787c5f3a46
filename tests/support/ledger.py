"""Holding tasks to account: what was sent against what tasks.faults.sleep has recorded in the store."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter
from typing import Any

from tests.support.stack import until

# Keys of the broker whose messages name a task.
WHERE = """
import json
from app.celery_app import app
from app.queues import GROUPS
from app.runtime.clients import pooled
from app.runtime.keys import Keys
keys, found = Keys.of(app), []
with pooled(app) as client:
    for name, group in GROUPS.items():
        texts = {{key: client.lrange(key, 0, -1) for queue in group.queues for key in keys.waiting(queue)}}
        texts |= {{keys.unacked(name): client.hvals(keys.unacked(name))}}
        texts |= {{keys.dead_letters(name): client.hvals(keys.dead_letters(name))}}
        found += [key for key, each in texts.items() if any(b"{task}" in text for text in each)]
print(json.dumps(found))
"""


class Ledger(ABC):
    """A place where tasks run, and where Python can be run beside them."""

    @abstractmethod
    def beside(self, *command: str) -> str:
        """Return what a command prints where the application and its broker are known."""

    def python(self, code: str) -> Any:
        """Return what Python prints as JSON there."""
        return json.loads(self.beside("python", "-c", code).splitlines()[-1])

    def send(self, task: str, *arguments: object, count: int = 1, queue: str = "", wait: bool = False) -> list[str]:
        """Publish tasks and return the ids of those that were accepted."""
        options = ["--args", json.dumps(arguments), "-n", str(count), "--json", *(["--queue", queue] if queue else [])]
        options.append("--wait" if wait else "--no-wait")
        answer = self.beside("python", "-m", "app.producer", task, *options)
        return list(json.loads(answer)["task_ids"])

    def runs(self, ledger: str) -> list[dict[str, Any]]:
        """Return the starts and ends that tasks.faults.sleep has recorded under a name."""
        return list(
            self.python(f"import json; from app.store import store; print(json.dumps(store().runs({ledger!r})))")
        )

    def ended(self, ledger: str) -> set[str]:
        return {run["task_id"] for run in self.runs(ledger) if run["what"] == "end"}

    def started(self, ledger: str) -> set[str]:
        return {run["task_id"] for run in self.runs(ledger) if run["what"] == "start"}

    def agrees(self, ledger: str, sent: list[str], seconds: float, repeats: int = 0) -> None:
        """Wait until every sent task has ended; fail for one that is lost, unknown, or started more than it may.

        `repeats`: how many starts more than tasks there may be, for tests that kill workers; a start without an end
        is a run that was cut off.
        """
        try:
            until(lambda: set(sent) <= self.ended(ledger), seconds, f"all {len(sent)} tasks of {ledger} have ended")
        except AssertionError as error:
            missing = sorted(set(sent) - self.ended(ledger))[:5]
            where = {task: self.python(WHERE.format(task=task)) for task in missing}
            started = {run["task_id"]: run for run in self.runs(ledger) if run["task_id"] in missing}
            raise AssertionError(
                f"{error}; some that haven't, and where they are: {where}; they started: {started}"
            ) from None
        runs = self.runs(ledger)
        starts = Counter(run["task_id"] for run in runs if run["what"] == "start")
        assert set(starts) - set(sent) == set(), "tasks ran that nobody sent"
        assert set(sent) - set(starts) == set(), f"tasks ended that never started: {runs}"
        again = {task: count for task, count in starts.items() if count > 1}
        assert starts.total() - len(sent) <= repeats, f"started more than once: {again}"
