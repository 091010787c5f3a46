"""Time of `helm template` for the chart's defaults and for many worker groups; the first is what a person waits for."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from scripts import golden, toolbox


def values(groups: int) -> dict[str, Any]:
    """Return values with an image and `groups` worker groups beside the chart's own."""
    entries = {f"group-{number}": {"queues": [f"queue-{number}"]} for number in range(groups)}
    return {"image": {"repository": "registry.example.com/shop"}, "workers": {"groups": entries}}


def measure(rounds: int, groups: int) -> dict[str, list[float]]:
    """Return the seconds of each render, the two kinds in turns."""
    toolbox.find("helm")
    seconds: dict[str, list[float]] = {"defaults": [], f"{groups} groups": []}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            for name, count in zip(seconds, (0, groups), strict=True):
                file = Path(folder) / "values.json"
                file.write_text(json.dumps(values(count)), encoding="utf-8")
                began = time.perf_counter()
                golden.render(file)
                seconds[name].append(time.perf_counter() - began)
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return seconds


def main(argv: list[str] | None = None) -> int:
    """Print the medians and their spread."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chart_render", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--groups", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)
    seconds = measure(arguments.rounds, arguments.groups)
    if arguments.json:
        print(json.dumps(seconds))
    else:
        for name, each in seconds.items():
            print(f"{name:<12} {statistics.median(each):.2f} s ({min(each):.2f} to {max(each):.2f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
