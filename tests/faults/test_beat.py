"""Promise: one beat ticks, exactly one, whatever dies; and a tick that could not be published is published later."""

from __future__ import annotations

import signal

from tests.faults.bench import Bench, holds, wait_for


def ticks(bench: Bench) -> int:
    return len(bench.journal())


def assert_no_tick_was_doubled(bench: Bench) -> None:
    lines = bench.journal()
    assert len(lines) == len(set(lines)), lines


def test_two_beats_tick_once_and_the_second_takes_over_from_a_killed_one(bench: Bench) -> None:
    bench.worker("a")
    first = bench.beat("first")
    wait_for("the first ticks", lambda: ticks(bench) >= 1, within=20)
    second = bench.beat("second")
    wait_for("the waiting beat shows life", lambda: second.heartbeat_age() < 3, within=20)
    wait_for("five more ticks", lambda: ticks(bench) >= 6, within=20)
    assert_no_tick_was_doubled(bench)
    assert not second.logged("Sending due task")
    assert second.heartbeat_age() < 5
    seen = ticks(bench)
    first.kill()
    took = wait_for("the second ticks", lambda: second.logged("Sending due task"), within=15)
    assert took < 5 + 5, "the lock of 5 s and a few turns"
    wait_for("ticks go on", lambda: ticks(bench) > seen + 2, within=20)
    assert_no_tick_was_doubled(bench)


def test_a_beat_that_stood_still_longer_than_its_lock_doubles_nothing(bench: Bench) -> None:
    bench.worker("a")
    first = bench.beat("first")
    wait_for("the first ticks", lambda: ticks(bench) >= 1, within=20)
    second = bench.beat("second")
    first.process.send_signal(signal.SIGSTOP)
    wait_for("the second ticks", lambda: second.logged("Sending due task"), within=20)
    first.process.send_signal(signal.SIGCONT)
    seen = ticks(bench)
    wait_for("the first gives way", lambda: first.logged("the lock went to another beat"), within=10)
    wait_for("ticks go on", lambda: ticks(bench) > seen + 3, within=20)
    assert_no_tick_was_doubled(bench)


def test_a_beat_survives_60_seconds_without_redis(bench: Bench) -> None:
    bench.worker("a")
    beat = bench.beat("beat")
    wait_for("it ticks", lambda: ticks(bench) >= 1, within=20)
    bench.server.kill()
    holds("it lives and shows it", lambda: beat.process.poll() is None and beat.heartbeat_age() < 15, 60)
    bench.server.start()
    seen = ticks(bench)
    wait_for("it ticks again", lambda: ticks(bench) > seen + 1, within=60)
    assert_no_tick_was_doubled(bench)


def test_a_beat_that_starts_before_redis_waits_for_it(bench: Bench) -> None:
    bench.server.kill()
    beat = bench.beat("beat")
    wait_for("it shows life", lambda: beat.heartbeat_age() < 5, within=20)
    bench.server.start()
    bench.worker("a")
    wait_for("it ticks", lambda: ticks(bench) >= 1, within=30)


def test_a_tick_whose_publish_failed_is_published_later(bench: Bench) -> None:
    bench.worker("a")
    beat = bench.beat("beat", BENCH_TICK="8")
    wait_for("it ticks", lambda: ticks(bench) == 1, within=30)
    bench.server.client.execute_command("ACL", "SETUSER", "default", "-lpush")
    wait_for("a publish failed", lambda: beat.logged("Redis can't be used"), within=15)
    bench.server.client.execute_command("ACL", "SETUSER", "default", "+lpush")
    # Moved before the publish, the last run would make the next tick 8 s away.
    wait_for("it is published now", lambda: ticks(bench) == 2, within=4)
    assert_no_tick_was_doubled(bench)


def test_a_stopped_beat_leaves_the_lock_to_its_successor(bench: Bench) -> None:
    bench.worker("a")
    first = bench.beat("first")
    wait_for("it ticks", lambda: ticks(bench) >= 1, within=20)
    assert first.stop() == 0
    second = bench.beat("second")
    wait_for("the second has the lock", lambda: second.logged("Acquired lock"), within=4)
