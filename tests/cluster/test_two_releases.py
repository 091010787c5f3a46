"""Two releases in one namespace don't touch each other; on one Redis: tests/faults/test_broker_users.py."""

from __future__ import annotations

from collections.abc import Callable

from scripts.deploy.release import uninstall
from tests.support.cluster import Release
from tests.support.stack import until


def test_each_release_runs_its_own_tasks_and_outlives_the_other(releases: Callable[..., Release]) -> None:
    first, second = releases("one-celery"), releases("two-celery")
    groups = {"workers": {"exampleGroups": {"email": None}}}
    first.install(groups)
    sent_first = first.send("tasks.faults.sleep", 1, "first", count=6)
    second.install(groups)
    sent_second = second.send("tasks.faults.sleep", 1, "second", count=6)
    second.agrees("second", sent_second, 60)
    assert second.runs("first") == []
    uninstall(second.kube)
    first.agrees("first", sent_first, 60)
    until(lambda: "ok    beat" in first.smoke(), 60, "the first release's beat still ticks")
