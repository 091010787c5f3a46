"""`make golden`: what the chart renders for each of its examples; `--check` says whether it is up to date."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from scripts import generated, toolbox
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
    check = generated.checks(argv, "python -m scripts.golden", __doc__)
    wanted = {f"{case}.yaml": render(values) for case, values in examples().items()}
    sentence = "tests/golden/{name} is out of date: run make golden and read the difference."
    return generated.settle(check, GOLDEN, wanted, sentence, own="*.yaml")


if __name__ == "__main__":
    exit_with(main)
