"""What metrics cost a worker: a race of two workers, one with metrics and one without, for the tasks of one queue.

Each takes a task whenever it has a free slot, so how many each has done at the end is how fast it is, and whatever else
the machine does slows both. The tasks do nothing and log nothing, so whatever the main process does more is seen; the
page is read every second, ten times as often as Prometheus does. A worker's throughput ends at its main process, so the
processor's time of that for a task is given too.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from scripts.ports import free_port
from tests.faults.bench import Bench, Worker

FILL = "[app.send_task('tests.faults.application.nothing', ['k'], ignore_result=True) for _ in range({tasks})]"
QUEUE, PARKED = "bench:work", "bench:parked"


class Race(NamedTuple):
    """Tasks that each worker did, and microseconds of its main process for each of them."""

    on: float
    off: float
    cpu_on: float
    cpu_off: float


def race(bench: Bench, number: int, tasks: int) -> Race:
    """Run a race; the workers start in turns."""
    bench.run(FILL.format(tasks=tasks))
    bench.server.client.rename(QUEUE, PARKED)
    ports = {"on": free_port(), "off": 0}
    order = ("on", "off") if number % 2 else ("off", "on")
    workers = {
        name: bench.worker(f"{name}{number}", BENCH_METRICS_PORT=str(ports[name]), BENCH_QUIET="1") for name in order
    }
    ended = threading.Event()
    reader = threading.Thread(target=_read, args=(ports["on"], ended))
    reader.start()
    try:
        used = {name: _cpu(worker) for name, worker in workers.items()}
        bench.server.client.rename(PARKED, QUEUE)
        while not bench.settled():
            time.sleep(0.01)
        used = {name: _cpu(worker) - used[name] for name, worker in workers.items()}
        done = _done(ports["on"])
    finally:
        ended.set()
        reader.join()
        for worker in workers.values():
            worker.stop()
    return Race(done, tasks - done, used["on"] / done * 1e6, used["off"] / (tasks - done) * 1e6)


def _cpu(worker: Worker) -> float:
    """Return the seconds that the main process has kept processors busy, its threads included."""
    fields = Path(f"/proc/{worker.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _page(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return str(answer.read().decode())


def _done(port: int) -> float:
    return sum(map(float, re.findall(r"^celery_task_succeeded_total{.*} (.*)$", _page(port), re.MULTILINE)))


def _read(port: int, ended: threading.Event) -> None:
    while not ended.wait(1):
        with suppress(OSError):
            _page(port)


def measure(rounds: int, tasks: int) -> list[Race]:
    """Return what came out of each race."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        try:
            for number in range(rounds):
                found.append(race(bench, number, tasks))
                print(f"round {number + 1} of {rounds}: {found[-1]}", file=sys.stderr)
        finally:
            bench.close()
    return found


def main(argv: list[str] | None = None) -> int:
    """Print the ratios of throughput and of processor time, with their spread."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.metrics_cost", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--tasks", type=int, default=4000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)
    found = measure(arguments.rounds, arguments.tasks)
    if arguments.json:
        print(json.dumps([race._asdict() for race in found]))
        return 0
    overall = sum(race.on for race in found) / sum(race.off for race in found)
    rates = [race.on / race.off for race in found]
    times = [race.cpu_off / race.cpu_on for race in found]
    print(f"tasks, on over off: {overall:.3f} of all, median {statistics.median(rates):.3f}", end=" ")
    print(f"({min(rates):.3f} to {max(rates):.3f})")
    print(f"processor, off over on: median {statistics.median(times):.3f} ({min(times):.3f} to {max(times):.3f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
