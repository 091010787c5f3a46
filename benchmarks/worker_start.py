"""Time from a worker's start to ready, ours against Celery as it comes, interleaved in one run.

A neighbour runs all the time, as in any fleet: mingle, which a plain worker does, waits for the answers of others.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from tests.faults.bench import Bench

KINDS: dict[str, dict[str, object]] = {
    "ours": {"RUNTIME": "on", "flags": None},
    "plain": {"RUNTIME": "off", "flags": ()},
}


def measure(rounds: int) -> dict[str, list[float]]:
    """Return the seconds from start to ready of each kind of worker, one a round."""
    seconds: dict[str, list[float]] = {name: [] for name in KINDS}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        try:
            bench.worker("neighbour")
            for number in range(rounds):
                for name, options in KINDS.items():
                    worker = bench.worker(f"{name}{number}", **options)  # type: ignore[arg-type]
                    seconds[name].append(worker.seconds_to_ready)
                    worker.kill()
                print(f"round {number + 1} of {rounds}", file=sys.stderr)
        finally:
            bench.close()
    return seconds


def main(argv: list[str] | None = None) -> int:
    """Print the medians, their spread and the ratio."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worker_start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)
    seconds = measure(arguments.rounds)
    ratios = [ours / plain for ours, plain in zip(seconds["ours"], seconds["plain"], strict=True)]
    if arguments.json:
        print(json.dumps({**seconds, "ratio": statistics.median(ratios)}))
    else:
        for name, values in seconds.items():
            print(f"{name:<6} {statistics.median(values):.2f} s ({min(values):.2f} to {max(values):.2f})")
        print(f"ratio  {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
