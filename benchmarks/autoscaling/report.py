"""Runs of every policy on every trace, with several seeds, and what they say side by side."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from .policies import Policy
from .simulate import simulate
from .traces import Trace, make

BASE = "list-length"


@dataclass(frozen=True)
class Row:
    """One run. Waits and surge in seconds; `cost` in pod-seconds, `over_oracle` as a multiple of the oracle's."""

    trace: str
    policy: str
    seed: int
    p50: float
    p95: float
    p99: float
    cost: float
    over_oracle: float
    killed: int
    unfinished: int
    started: int
    surge: float | None


@lru_cache(maxsize=64)
def load(name: str, seed: int) -> tuple[Trace, float]:
    """Return a trace and its oracle's pod-seconds."""
    trace = make(name, seed)
    return trace, trace.oracle_pod_seconds()


def row(policy: Policy, name: str, seed: int) -> Row:
    """Run one trace under one policy."""
    trace, oracle = load(name, seed)
    result = simulate(trace, policy, seed)
    return Row(
        trace=name,
        policy=policy.name,
        seed=seed,
        p50=result.wait(0.50),
        p95=result.wait(0.95),
        p99=result.wait(0.99),
        cost=result.pod_seconds,
        over_oracle=result.pod_seconds / oracle,
        killed=result.killed,
        unfinished=result.unfinished,
        started=result.started,
        surge=result.surge_seconds,
    )


def _rows(job: tuple[Policy, tuple[str, ...], int]) -> list[Row]:
    policy, names, seeds = job
    return [row(policy, name, seed) for seed in range(seeds) for name in names]


def rows(policies: Sequence[Policy], names: Iterable[str], seeds: int) -> list[list[Row]]:
    """Run all of them, one process a processor; one list for each policy, in order, whatever ended first."""
    jobs = [(policy, tuple(names), seeds) for policy in policies]
    done = []
    with ProcessPoolExecutor() as pool:
        for number, each in enumerate(pool.map(_rows, jobs), 1):
            done.append(each)
            if number % max(1, len(jobs) // 20) == 0:
                print(f"{number} of {len(jobs)} policies", file=sys.stderr)
    return done


def against(ours: Iterable[Row], base: Iterable[Row], trace: str, column: str) -> list[float]:
    """Return ours divided by the base's, seed by seed, on one trace."""
    mine = [getattr(each, column) for each in ours if each.trace == trace]
    theirs = [getattr(each, column) for each in base if each.trace == trace]
    return [one / other for one, other in zip(mine, theirs, strict=True)]


def summary(done: Sequence[list[Row]], names: Iterable[str]) -> list[dict[str, Any]]:
    """Return one entry for each trace and policy: of each column the median, the least and the most."""
    base = next(each for each in done if each[0].policy == BASE)
    table = []
    for name in names:
        for each in done:
            of_trace = [asdict(one) for one in each if one.trace == name]
            entry: dict[str, Any] = {"trace": name, "policy": each[0].policy}
            for column in ("p50", "p95", "p99", "over_oracle", "killed", "unfinished", "started", "surge"):
                entry[column] = spread(one[column] for one in of_trace)
            entry["cost_over_base"] = spread(against(each, base, name, "cost"))
            table.append(entry)
    return table


def spread(values: Iterable[float | None]) -> list[float] | None:
    """Return median, least and most, or None where a trace has no such number."""
    known = [value for value in values if value is not None]
    return [round(value, 3) for value in (statistics.median(known), min(known), max(known))] if known else None


COLUMNS = {
    "p50": "wait p50 s",
    "p95": "p95 s",
    "p99": "p99 s",
    "over_oracle": "cost / oracle",
    "cost_over_base": f"cost / {BASE}",
    "surge": "surge s",
    "started": "pods started",
    "killed": "killed",
    "unfinished": "never ended",
}


def markdown(table: Sequence[dict[str, Any]]) -> str:
    """Return the summary as a table: median (least to most)."""
    lines = [
        f"| trace | policy | {' | '.join(COLUMNS.values())} |",
        f"| --- | --- |{' --- |' * len(COLUMNS)}",
    ]
    for entry in table:
        cells = [entry["trace"], entry["policy"]] + [_cell(column, entry[column]) for column in COLUMNS]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(column: str, value: list[float] | None) -> str:
    if value is None:
        return ""
    digits = 2 if "over" in column else 0 if column in ("started", "killed", "unfinished") else 1
    middle, least, most = (f"{number:.{digits}f}" for number in value)
    return middle if least == most else f"{middle} ({least} to {most})"
