"""The command line: `run` compares the policies, `sweep` the settings of ours, `replay` prints one timeline."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

from . import pictures, report
from . import sweep as sweeps
from .controllers import Behavior, KedaSettings, limits
from .policies import POLICIES, Policy
from .simulate import Phases, milestones, replay, simulate
from .traces import MAKERS, USUAL, Workload

# More than three lines can't be told apart.
DRAWN = ("list-length", "counting", "latency")


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    top = argparse.ArgumentParser(prog="python -m benchmarks.autoscaling", description=__doc__)
    verbs = top.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="replay every trace under every policy")
    run.add_argument(
        "--traces", nargs="+", choices=MAKERS, default=list(USUAL), metavar="TRACE", help=", ".join(MAKERS)
    )
    sweep = verbs.add_parser("sweep", help="compare the settings of our policies (minutes)")
    sweep.add_argument("--policies", nargs="+", choices=("counting", "latency"), default=["counting", "latency"])
    for verb, seeds in ((run, 5), (sweep, 2)):
        verb.add_argument("--seeds", type=_positive, default=seeds, help="runs of each, with other tasks and phases")
        verb.add_argument("--plots", type=Path, metavar="FOLDER", help="write pictures there")
        verb.add_argument("--json", action="store_true")
    _add_replay(verbs.add_parser("replay", help="print the timeline of given tasks as JSON"))
    return top


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seeds: write 1 or more")
    return int(text)


def _add_replay(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("tasks", type=Path, help="JSON: a list of [second of arrival, seconds of service]")
    verb.add_argument("--policy", choices=POLICIES, default="counting")
    verb.add_argument("--seconds", type=float, required=True, help="how long to look")
    workload = Workload()
    verb.add_argument("--slots", type=int, default=workload.slots)
    verb.add_argument("--pod-start", type=float, default=workload.pod_start, help="seconds from creation to ready")
    verb.add_argument("--min", type=int, default=workload.min_replicas, dest="least")
    verb.add_argument("--max", type=int, default=workload.max_replicas, dest="most")
    verb.add_argument("--hpa-phase", type=float, default=0.0, help="second of the HPA's first sync")
    verb.add_argument("--keda-phase", type=float, default=0.0, help="second of KEDA's first look")
    verb.add_argument("--utilisation", type=float, help="share of the slots that shall be busy")
    verb.add_argument("--wait-target", type=float, help="seconds; latency only")
    verb.add_argument("--polling", type=float, help="seconds")
    verb.add_argument("--cooldown", type=float, help="seconds")
    verb.add_argument("--down-window", type=float, help="seconds")
    verb.add_argument(
        "--down", type=limits, help="limits such as 50%%/15 (per cent or pods, and seconds), joined by commas"
    )
    verb.add_argument("--up", type=limits, help="the same, upwards")


def tuned(policy: Policy, said: argparse.Namespace) -> Policy:
    """Return the policy with what the command line says otherwise."""

    def or_else(value: float | None, default: float) -> float:
        return default if value is None else value

    behavior, keda = policy.behavior, policy.keda
    return replace(
        policy,
        utilisation=or_else(said.utilisation, policy.utilisation),
        wait_target=or_else(said.wait_target, policy.wait_target),
        keda=KedaSettings(or_else(said.polling, keda.polling), or_else(said.cooldown, keda.cooldown)),
        behavior=Behavior(
            up=said.up or behavior.up,
            down_window=or_else(said.down_window, behavior.down_window),
            down=said.down or behavior.down,
        ),
    )


def run(said: argparse.Namespace) -> None:
    """Print the table of all policies on the traces."""
    table = report.summary(report.rows(list(POLICIES.values()), said.traces, said.seeds), said.traces)
    print(json.dumps(table) if said.json else report.markdown(table))
    if said.plots:
        panels = []
        for name in said.traces:
            trace, _ = report.load(name, 0)
            lines = {
                policy.name: [(at.second, float(at.pods)) for at in simulate(trace, policy).timeline]
                for policy in POLICIES.values()
                if policy.name in DRAWN
            }
            panels.append((name, trace.seconds, trace.need(), lines))
        _write(said.plots / "pods.svg", pictures.timelines(panels))


def sweep(said: argparse.Namespace) -> None:
    """Print the Pareto front of our settings, as JSON all of them."""
    points = sweeps.sweep(said.policies, said.seeds)
    print(json.dumps([asdict(one) for one in points]) if said.json else sweeps.markdown(points))
    if said.plots:
        dots = [(one.policy, one.cost, one.p95, one.front) for one in points]
        labels = ("cost as a share of list-length's, mean of the traces", "p95 of the wait, mean of the traces, s")
        _write(said.plots / "sweep.svg", pictures.front(dots, labels))


def show(said: argparse.Namespace) -> None:
    """Print the timeline of a replay and its milestones."""
    tasks = [(float(arrival), float(service)) for arrival, service in json.loads(said.tasks.read_text("utf-8"))]
    workload = Workload(said.slots, said.pod_start, said.least, said.most)
    phases = Phases(said.hpa_phase, said.keda_phase)
    result = replay(tasks, tuned(POLICIES[said.policy], said), workload, said.seconds, phases)
    found = milestones(result.timeline, said.least)
    print(json.dumps({"milestones": found._asdict(), "timeline": [at._asdict() for at in result.timeline]}))


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    print(f"wrote {file}", file=sys.stderr)


def main(argv: list[str] | None = None) -> int:
    """Do what the command line asks for."""
    said = parser().parse_args(argv)
    {"run": run, "sweep": sweep, "replay": show}[said.verb](said)
    return 0


if __name__ == "__main__":
    sys.exit(main())
