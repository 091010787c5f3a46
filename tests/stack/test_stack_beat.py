"""One beat ticks, exactly one: beside a second beat, and after the death of the one that ticked."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from redis import Redis

from tests.conftest import ROOT
from tests.support.stack import SETTINGS, Stack, until

LOCK = float(SETTINGS["CELERY_BEAT_LOCK_SECONDS"])
# The longest time that beat sleeps before it looks for new entries.
LOOP = 5.0
SENT = "Sending due task fast"
ENTRY = """
from celery.schedules import schedule
from redbeat import RedBeatSchedulerEntry
from app.celery_app import app
entry = RedBeatSchedulerEntry("fast", "tasks.faults.sleep", schedule(1.0), args=(0, "fast"), app=app)
"""


def python(stack: Stack, code: str) -> str:
    run = [sys.executable, "-c", code]
    return subprocess.run(
        run, cwd=ROOT, env=stack.env, check=True, text=True, stdout=subprocess.PIPE, timeout=60
    ).stdout


def runs(stack: Stack) -> list[str]:
    """Return the ids of the runs of the fast entry, as the tasks themselves recorded them."""
    code = "import json; from app.store import store; print(json.dumps(store().runs('fast')))"
    return [run["task_id"] for run in json.loads(python(stack, code)) if run["what"] == "start"]


@pytest.fixture
def fast_entry(stack: Stack) -> Iterator[None]:
    """An entry that is due every second."""
    python(stack, ENTRY + "entry.save()")
    yield
    python(stack, ENTRY + "entry.delete()")


@pytest.fixture
def second_beat(stack: Stack, tmp_path: Path) -> Iterator[Path]:
    """Another beat of the same stack; yields its folder, with its log and its tick file."""
    command = [sys.executable, "-m", "celery", "-A", "app.celery_app", "beat", "--loglevel", "INFO"]
    with (tmp_path / "log").open("w") as log:
        environment = stack.env | {"CELERY_HEARTBEAT_DIR": str(tmp_path)}
        beat = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
    until((tmp_path / "tick").exists, 20, "the second beat's first sign of life")
    yield tmp_path
    beat.terminate()
    beat.wait(20)


def sent(text: str) -> list[float]:
    """Return when a beat says that it sent the fast entry."""
    lines = [json.loads(line) for line in text.splitlines() if SENT in line]
    return [time.mktime(time.strptime(line["time"], "%Y-%m-%d %H:%M:%S,%f")) for line in lines]


def test_beat_shows_its_life_and_holds_the_lock(stack: Stack) -> None:
    tick = stack.place.heartbeat("beat") / "tick"
    assert time.time() - tick.stat().st_mtime < 2 * LOOP
    with Redis.from_url(stack.redis_url) as redis:
        assert 0 < redis.pttl("redbeat::lock") <= LOCK * 1000


def test_two_beats_tick_once_and_a_killed_one_is_replaced(stack: Stack, second_beat: Path, fast_entry: None) -> None:
    before = len(sent(stack.log("beat")))
    theirs = lambda: sent(stack.log("beat"))[before:]  # noqa: E731
    ours = lambda: sent((second_beat / "log").read_text())  # noqa: E731
    until(lambda: len(theirs()) + len(ours()) >= 4, 4 + LOOP + 15, "four ticks")
    # The stack's beat has the lock: the other one waits, alive, and sends nothing.
    assert ours() == []
    assert time.time() - (second_beat / "tick").stat().st_mtime < 2 * LOOP

    psutil.Process(stack.pids()["beat"]).send_signal(signal.SIGKILL)
    killed, had = time.monotonic(), len(theirs()) + len(ours())
    until(lambda: len(theirs()) + len(ours()) >= had + 3, LOCK + LOOP + 10, "three ticks after the kill")
    assert time.monotonic() - killed < LOCK + LOOP + 10
    # Only the lock's new holder sends.
    first, second = sorted([theirs()[had:], ours()], key=len)
    assert first == [] or second == []

    python(stack, ENTRY + "entry.delete()")
    count = until(lambda: settled(stack), 20, "an end of the runs")
    assert count == len(theirs()) + len(ours())
    assert len(set(runs(stack))) == len(runs(stack))


def settled(stack: Stack) -> int:
    """Return the number of runs once two looks, more than a beat's tick apart, agree."""
    before = len(runs(stack))
    time.sleep(1.5)
    return before if len(runs(stack)) == before else 0
