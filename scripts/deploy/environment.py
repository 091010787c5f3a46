"""What is deployed where: an environment is a values file of the chart and the kube context it belongs to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from scripts.refused import Refused
from scripts.versions import ROOT

CHART = ROOT / "helm" / "celery"
MONITORING = ROOT / "helm" / "monitoring"
ENVIRONMENTS = CHART / "environments"


@dataclass(frozen=True)
class Environment:
    """A release of the chart in a namespace of the cluster that `context` names; later `values` files win."""

    name: str
    context: str
    namespace: str
    release: str
    values: tuple[Path, ...]
    chart: Path = CHART
    # The environment whose application this one is installed beside; None for the application's own.
    beside: Environment | None = None

    @property
    def monitoring(self) -> Environment | None:
        """The release of helm/monitoring beside this one, where that chart has an environment of this name."""
        values = MONITORING / "environments" / f"{self.name}.yaml"
        if not values.is_file():
            return None
        return replace(self, release="monitoring", values=(values,), chart=MONITORING, beside=self)

    @property
    def brings_its_image(self) -> bool:
        """Whether the image is built here and carried into the cluster, because nobody may pull it."""
        return bool((self.beside or self)._value("image", "pullPolicy") == "Never")

    def _value(self, *path: str) -> Any:
        found: Any = None
        for file in self.values:
            node: Any = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
            for key in path:
                node = node.get(key) if isinstance(node, dict) else None
            found = node if node is not None else found
        return found


def names() -> list[str]:
    """Return the environments there are."""
    return sorted(path.stem for path in ENVIRONMENTS.glob("*.yaml") if path.stem != "contexts")


def load(name: str, context: str = "", namespace: str = "", release: str = "", values: str = "") -> Environment:
    """Return an environment; what is given wins over what its file says. `values` is a file of the caller's own.

    Raises Refused for one that doesn't exist, one without a context, and a file that can't be read.
    """
    if name not in names():
        raise Refused(f"There is no environment {name!r}: write ENV={' or ENV='.join(names())}.", 2)
    files = [ENVIRONMENTS / f"{name}.yaml", *([Path(values)] if values else [])]
    if not files[-1].is_file():
        raise Refused(f"There is no values file {values}: write VALUES=file.yaml with a file that exists.", 2)
    known = yaml.safe_load((ENVIRONMENTS / "contexts.yaml").read_text(encoding="utf-8"))
    context = context or known.get(name) or ""
    if not context:
        raise Refused(
            f"Environment {name} is bound to no cluster: write CONTEXT=name (kubectl config get-contexts lists them), "
            f"or enter it in {ENVIRONMENTS.relative_to(ROOT)}/contexts.yaml.",
            2,
        )
    return Environment(name, context, namespace or "celery", release or "celery", tuple(files))
