"""Promise: the simulator of benchmarks/autoscaling counts as Kubernetes and KEDA do; the numbers are made by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.autoscaling.__main__ import main
from benchmarks.autoscaling.controllers import Behavior, Hpa, Keda, KedaSettings, limits, text_of
from benchmarks.autoscaling.pictures import coarse, front, timelines
from benchmarks.autoscaling.policies import POLICIES, Load, Policy, counting, latency
from benchmarks.autoscaling.simulate import Moment, Phases, Result, Simulation, milestones, replay, simulate
from benchmarks.autoscaling.sweep import Point, with_front
from benchmarks.autoscaling.traces import USUAL, Task, Trace, Workload, make

AT_ONCE = Behavior(up=limits("1000/15"), down_window=0, down=limits("100%/15"))
# Four slots, target 4, no limits: replicas are the work divided by four, 15 s late at most.
PLAIN = Policy("plain", counting, behavior=AT_ONCE, keda=KedaSettings(5, 20))
# Sees only what waits, two a pod; four tasks that end at 12, when four long ones run in the second pod already.
BLIND = replace(PLAIN, metric=lambda load, _: float(load.waiting), target=2, grace=30)
LATE = [(0.0, 12.0)] * 4 + [(0.5, 100.0)] * 4


def hpa(**behavior: object) -> Hpa:
    """Return an HPA for four of the metric a pod, 1 to 100 pods."""
    return Hpa(4, 1, 100, replace(AT_ONCE, **behavior))  # type: ignore[arg-type]


def replicas(result: Result) -> list[tuple[float, int]]:
    """Return the changes of what was asked for."""
    steps: list[tuple[float, int]] = []
    for moment in result.timeline:
        if not steps or steps[-1][1] != moment.replicas:
            steps.append((moment.second, moment.replicas))
    return steps


def run(tasks: Sequence[tuple[float, float]], policy: Policy, seconds: float = 200, **workload: float) -> Result:
    """Replay tasks with pods that take 8 s to start; the HPA looks at 1, 16, ..., KEDA at 0, 5, ..."""
    return replay(tasks, policy, Workload(**workload), seconds, Phases(hpa=1, keda=0))  # type: ignore[arg-type]


# The HPA


@pytest.mark.parametrize(
    ("metric", "before", "after"),
    [
        (41, 10, 10),  # 2.5 % above the target: within the tolerance.
        (44, 10, 10),  # 10 % is still within.
        (45, 10, 12),  # 12.5 % is not: 11.25 pods.
        (36, 10, 10),
        (35, 10, 9),
        (0, 3, 1),
        (9999, 3, 100),
        (5, 0, 0),  # An HPA never starts what has no replicas.
    ],
)
def test_the_hpa_divides_rounds_up_and_tolerates_a_tenth(metric: float, before: int, after: int) -> None:
    assert hpa().sync(0, metric, before) == after


def test_a_window_downwards_takes_the_highest_proposal_in_it() -> None:
    scaler = hpa(down_window=60)
    assert [scaler.sync(at, metric, 10) for at, metric in ((0, 40), (15, 28), (30, 4), (45, 4))] == [10, 10, 10, 10]
    # The 40 of second 0 is out of the window now, the 28 of second 15 is not.
    assert scaler.sync(60, 4, 10) == 7
    assert scaler.sync(75, 4, 7) == 1


def test_a_window_upwards_takes_the_lowest_proposal_in_it() -> None:
    scaler = hpa(up_window=30)
    assert [scaler.sync(at, metric, 1) for at, metric in ((0, 4), (15, 40), (30, 36))] == [1, 1, 9]


def test_the_most_generous_limit_upwards_counts_from_the_beginning_of_its_period() -> None:
    scaler = hpa(up=limits("100%/15,4/15"))
    counts = [1]
    for at in (0, 15, 30, 45):
        counts.append(scaler.sync(at, 400, counts[-1]))
    assert counts == [1, 5, 10, 20, 40]
    # 7.5 s later the growth from 20 to 40 counts against the limit: no more than twice 20.
    assert scaler.sync(52.5, 400, 40) == 40


def test_one_pod_a_minute_downwards() -> None:
    scaler = hpa(down=limits("1/60"))
    counts = [10]
    for at in range(0, 121, 15):
        counts.append(scaler.sync(at, 0, counts[-1]))
    assert counts == [10, 9, 9, 9, 9, 8, 8, 8, 8, 7]


def test_half_of_the_pods_downwards_rounds_the_rest_down() -> None:
    scaler = hpa(down=limits("50%/15"))
    assert [scaler.sync(0, 0, 9), scaler.sync(15, 0, 4), scaler.sync(30, 0, 2)] == [4, 2, 1]


def test_limits_are_read_as_they_are_written() -> None:
    assert text_of(limits("100%/15,4/60")) == "100%/15,4/60"


# KEDA


def test_work_starts_the_first_pod_at_keda_s_next_look_and_quiet_ends_the_last_after_the_cooldown() -> None:
    result = run([(7, 2)], PLAIN, min_replicas=0)
    # Seen at 10, ready at 18, done at 20. It was active at 15 for the last time, or at 20 if the look came first: 20 is
    # within the same instant and the look was planned earlier, so 20 counts; then more than 20 s without work.
    assert replicas(result) == [(0, 0), (10, 1), (45, 0)]
    assert result.waits == (11,)


def test_keda_leaves_one_to_n_to_the_hpa() -> None:
    keda = Keda(KedaSettings(30, 300), min_replicas=0)
    assert keda.poll(0, 100, 0) == 1
    assert keda.poll(30, 100, 1) == 1
    assert keda.poll(330, 0, 7) == 7
    assert keda.poll(331, 0, 7) == 0
    assert Keda(KedaSettings(30, 300), min_replicas=2).poll(900, 0, 2) == 2


def test_with_cached_metrics_the_hpa_sees_what_keda_saw_last() -> None:
    tasks = [(11.0, 60.0)] * 40
    cached = replace(PLAIN, keda=KedaSettings(30, 300, cached_metrics=True))
    assert replicas(run(tasks, PLAIN))[:2] == [(0, 1), (16, 10)]
    assert replicas(run(tasks, cached))[:2] == [(0, 1), (31, 10)]


# Pods and tasks


def test_a_pod_is_paid_from_its_creation_until_its_last_task_ended() -> None:
    result = run([(2, 20), (2, 20), (2, 20), (2, 20), (3, 15)], PLAIN, seconds=100)
    # The fifth task starts where a slot is free at 22; the pod of second 16, ready at 24, comes too late for it.
    assert result.waits == (0, 0, 0, 0, 19)
    assert replicas(result) == [(0, 1), (16, 2), (31, 1)]
    # One pod for 100 s; the other from 16 to 31, and 2 s to leave.
    assert result.pod_seconds == pytest.approx(117)


def test_a_killed_run_comes_back_after_the_visibility_timeout_or_after_a_lease() -> None:
    # The long ones start at 9 in the second pod, which goes at 16 and is killed at 46.
    result = run(LATE, BLIND, seconds=500)
    assert (result.killed, result.unfinished) == (4, 0)
    assert result.waits[4:] == (9 + 3600 - 0.5,) * 4
    leased = run(LATE, replace(BLIND, leased=True, redelivery=60), seconds=500)
    assert leased.waits[4:] == (46 + 60 - 0.5,) * 4


def test_without_a_grace_period_a_pod_drains_and_is_paid() -> None:
    result = run(LATE, replace(BLIND, grace=None), seconds=500)
    assert (result.killed, result.waits[4:]) == (0, (8.5,) * 4)
    # One pod for 500 s, the other from 1 to 109, and 2 s to leave.
    assert result.pod_seconds == pytest.approx(500 + 110)
    # Here it is killed at 46, and a look of 40 s pays for no more.
    assert run(LATE, BLIND, seconds=40).pod_seconds == pytest.approx(40 + 39)


def test_a_slot_that_is_free_takes_the_next_task_while_others_run() -> None:
    result = run([(0, 10), (0, 50), (0, 50), (0, 50), (1, 5), (2, 5)], PLAIN, max_replicas=1)
    assert result.waits == (0, 0, 0, 0, 9, 13)


def test_idle_first_takes_the_pod_without_tasks_newest_first_the_newest() -> None:
    assert run(LATE, replace(BLIND, removal="newest-first")).killed == 4
    assert run(LATE, replace(BLIND, removal="idle-first")).killed == 0


def test_a_policy_that_sees_only_what_waits_can_kill_a_long_task_for_ever() -> None:
    result = run([(1, 400)], POLICIES["list-length"], seconds=3600, min_replicas=0)
    assert (result.unfinished, result.killed) == (1, 3)
    assert result.waits[0] == pytest.approx(3600 + 7200, abs=30)
    assert run([(1, 400)], POLICIES["counting"], seconds=3600, min_replicas=0).killed == 0


@pytest.mark.parametrize("policy", ["list-length", "counting", "latency"])
@pytest.mark.parametrize("name", USUAL)
def test_every_task_ends_once_and_no_more_run_than_there_are_slots(name: str, policy: str) -> None:
    trace = make(name, seed=7)
    simulation = Simulation(trace, POLICIES[policy], Phases.of(7, POLICIES[policy]))
    result = simulation.run()
    assert set(simulation.cluster.ends) == {1}
    assert (simulation.cluster.running, result.unfinished) == (0, 0)
    assert min(result.waits) >= 0
    assert max(moment.replicas for moment in result.timeline) <= trace.workload.max_replicas
    if policy != "list-length":
        assert result.killed == 0


def test_the_same_seed_gives_the_same_run_and_another_one_another() -> None:
    first, again, other = (simulate(make("spike", seed), POLICIES["counting"], seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


# Policies


def test_latency_counts_until_it_has_measured_and_never_wants_more_than_the_work() -> None:
    policy = POLICIES["latency"]
    assert latency(Load(waiting=30, running=4, slots=4), policy) == 34
    # 2 a second of 3 s keep six slots busy, 10 that wait ask for 30 slot-seconds within the target.
    load = Load(waiting=10, running=6, slots=4, rate=2, service=3)
    assert latency(load, replace(policy, wait_target=10)) == pytest.approx(6 + 3)
    assert latency(load, replace(policy, wait_target=0.1)) == 16
    assert latency(Load(waiting=0, running=0, slots=4, rate=2, service=3), policy) == 0


def test_airflow_s_query_gives_whole_pods() -> None:
    policy = POLICIES["airflow"]
    assert policy.metric(Load(waiting=3, running=2, slots=4), policy) == 2


# What is reported


def test_the_oracle_pays_for_what_runs_at_each_instant_and_for_the_minimum() -> None:
    tasks = tuple(Task(10, 20) for _ in range(5))
    # 100 s of one pod, and from 10 to 30 a second one: five tasks in pods of four.
    assert Trace("five", 100, tasks).oracle_pod_seconds() == pytest.approx(120)
    assert Trace("five", 100, tasks, Workload(min_replicas=0)).oracle_pod_seconds() == pytest.approx(40)


def test_the_share_of_tasks_that_waited_no_longer() -> None:
    result = Result(tuple(float(number) for number in range(1, 101)), 0, 0, 0, 0, None, ())
    assert (result.wait(0.5), result.wait(0.95), result.wait(0.99), result.wait(1)) == (50, 95, 99, 100)


def test_milestones_are_the_first_pod_the_peak_and_the_last_return() -> None:
    moments = [(0.0, 0, 0), (5, 1, 0), (13, 1, 1), (20, 4, 1), (30, 4, 4), (60, 0, 0), (70, 1, 0), (90, 0, 0)]
    found = milestones([Moment(at, wanted, ready, wanted) for at, wanted, ready in moments], 0)
    assert found == (13, 20, 4, 90)


def test_the_front_has_no_setting_that_costs_more_and_waits_longer_than_another() -> None:
    def point(cost: float, p95: float) -> Point:
        return Point("counting", "", cost, p95, 0, 0, 0, 0, 0, 0, 0, 0)

    points = with_front([point(3, 1), point(1, 9), point(2, 9), point(2, 4), point(3, 5)])
    assert [(one.cost, one.p95) for one in points if one.front] == [(1, 9), (2, 4), (3, 1)]


def test_a_picture_has_the_mean_of_each_bucket_of_time() -> None:
    assert coarse([(0.0, 1.0), (15.0, 3.0), (18.0, 1.0), (99.0, 7.0)], 40, 4) == [(0, 1), (10, 1.6), (20, 1), (30, 1)]


def test_pictures_are_documents_that_stay_inside_their_frame() -> None:
    steps = {"counting": [(0.0, 1.0), (5.0, 3.0)], "list-length": [(0.0, 1.0)]}
    picture = timelines([("a & b", 60.0, [(0.0, 1.0), (70.0, 50.0)], steps)])
    assert "a &amp; b" in picture
    assert "M55.0" in picture
    assert "H880.0" in picture
    assert front([("counting", 0.5, 9.0, True), ("counting", 0.6, 9.5, False)], ("x", "y")).count("<circle") == 2


def test_the_command_line_replays_a_file_of_tasks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "tasks.json"
    file.write_text(json.dumps([[0, 60]] * 40))
    assert main(["replay", str(file), "--seconds", "120", "--hpa-phase", "1", "--up", "100/15"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["milestones"]["peak"], said["milestones"]["peak_replicas"]) == (1, 10)


def test_the_command_line_compares_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--traces", "idle", "--seeds", "1", "--json", "--plots", str(tmp_path)]) == 0
    table = json.loads(capsys.readouterr().out)
    assert [entry["policy"] for entry in table] == list(POLICIES)
    assert (tmp_path / "pods.svg").read_text().startswith("<svg")
