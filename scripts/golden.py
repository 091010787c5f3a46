"""`make golden`: what the chart renders for each of its examples; `--check` says whether it is up to date."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

from scripts import toolbox
from scripts.refused import Refused, exit_with
from scripts.versions import ROOT, pinned

CHART = ROOT / "helm" / "celery"
GOLDEN = ROOT / "tests" / "golden"


def examples() -> dict[str, Path]:
    """Return the values file of each example by the example's name."""
    return {path.parent.name: path for path in sorted(CHART.glob("examples/*/values.yaml"))}


def render(values: Path, helm: str = "helm") -> str:
    """Return what `helm` or `helm3` makes of the chart and a values file. Raises Refused in Helm's words."""
    command = [str(toolbox.find(helm)), "template", "shop", str(CHART), "--namespace", "shop"]
    command += ["--kube-version", pinned("KUBERNETES_VERSION"), "--values", str(values)]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        raise Refused(f"{values.relative_to(ROOT)} can't be rendered: {ran.stderr.strip()}")
    # Helm 4 keeps the empty line at the end of an object, Helm 3 doesn't.
    return re.sub(r"\n{2,}(?=---\n|\Z)", "\n", ran.stdout)


def main(argv: list[str] | None = None) -> int:
    """Write the files and remove those of examples that are gone, or compare; return 1 when they differ."""
    parser = argparse.ArgumentParser(prog="python -m scripts.golden", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 when it is out of date")
    check = parser.parse_args(argv).check
    wanted = {f"{case}.yaml": render(values) for case, values in examples().items()}
    found = {path.name: path.read_text(encoding="utf-8") for path in GOLDEN.glob("*.yaml")}
    stale = sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))
    if check:
        for name in stale:
            print(f"tests/golden/{name} is out of date: run make golden and read the difference.", file=sys.stderr)
        return 1 if stale else 0
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for name in found:
        (GOLDEN / name).unlink()
    for name, text in wanted.items():
        (GOLDEN / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    exit_with(main)
