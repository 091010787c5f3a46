"""What metrics cost a worker: tasks per second with them over without, in pairs, each in both orders, in one run.

The tasks do nothing and log nothing, so whatever the main process does more is seen; the page is read every second, ten
times as often as Prometheus does. All tasks wait before the worker starts, and what counts is from the hundredth to the
last. On a machine that is busy with something else the processor's time says more than the clock: the main process is
what a worker's throughput ends at, so its time for a task without metrics, over that with them, is given too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from scripts.ports import free_port
from tests.faults.bench import Bench, Worker

# Tasks until the pool is warm.
WARM = 100
FILL = "[app.send_task('tests.faults.application.none', ['k'], ignore_result=True) for _ in range({tasks})]"


class Pace(NamedTuple):
    """One worker's: tasks per second, and microseconds of its main process for each."""

    rate: float
    cpu: float


def pace(bench: Bench, name: str, tasks: int, port: int) -> Pace:
    """Return the pace of a worker that serves its page on `port`, 0 for no page."""
    bench.run(FILL.format(tasks=tasks))
    ended = threading.Event()
    reader = threading.Thread(target=_read, args=(port, ended))
    worker = bench.worker(name, BENCH_METRICS_PORT=str(port), BENCH_QUIET="1")
    try:
        reader.start()
        _until(lambda: bench.waiting() <= tasks - WARM)
        counted = bench.waiting()
        began, used = time.monotonic(), _cpu(worker)
        _until(bench.settled)
        return Pace(counted / (time.monotonic() - began), (_cpu(worker) - used) / counted * 1e6)
    finally:
        ended.set()
        reader.join()
        worker.stop()


def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.005)


def _cpu(worker: Worker) -> float:
    """Return the seconds that the main process has kept processors busy, its threads included."""
    fields = Path(f"/proc/{worker.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _read(port: int, ended: threading.Event) -> None:
    while port and not ended.wait(1):
        with suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read()


def measure(rounds: int, tasks: int) -> list[dict[str, Pace]]:
    """Return the paces of each round: `on` and `off`."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        try:
            for number in range(rounds):
                ports = {"on": free_port(), "off": 0}
                order = ("on", "off") if number % 2 else ("off", "on")
                found.append({name: pace(bench, f"{name}{number}", tasks, ports[name]) for name in order})
                print(f"round {number + 1} of {rounds}: {found[-1]}", file=sys.stderr)
        finally:
            bench.close()
    return found


def main(argv: list[str] | None = None) -> int:
    """Print the medians, their spread and the ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.metrics_cost", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--tasks", type=int, default=4000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)
    found = measure(arguments.rounds, arguments.tasks)
    ratios = {
        "tasks/s, on over off": [pair["on"].rate / pair["off"].rate for pair in found],
        "processor, off over on": [pair["off"].cpu / pair["on"].cpu for pair in found],
    }
    if arguments.json:
        print(json.dumps({"rounds": [{name: each._asdict() for name, each in pair.items()} for pair in found]}))
        return 0
    for name in ("off", "on"):
        rates, times = [pair[name].rate for pair in found], [pair[name].cpu for pair in found]
        print(
            f"{name:<4} {statistics.median(rates):.0f} tasks/s ({min(rates):.0f} to {max(rates):.0f}), "
            f"{statistics.median(times):.0f} us a task ({min(times):.0f} to {max(times):.0f})"
        )
    for what, values in ratios.items():
        print(f"{what}: {statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
