"""What is installed into the cluster: metrics-server for HPA, KEDA for scaling on queues, each from its Go module."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from string import Template

from scripts import toolbox
from scripts.cluster import cache, names
from scripts.cluster.golang import copy, fetch
from scripts.progress import run
from scripts.versions import pinned

OVERLAYS = Path(__file__).with_name("addons")


@dataclass(frozen=True)
class Addon:
    """A project's published manifests, the images in them and the Deployments that must become available."""

    name: str
    module: str
    version: str
    # The folder of its manifests in the module.
    manifests: str
    images: tuple[str, ...]
    namespace: str
    deployments: tuple[str, ...]

    def objects(self) -> Path:
        """Return the file with its objects, made now if the cache has none. Raises Refused."""
        overlay = Template((OVERLAYS / f"{self.name}.yaml").read_text()).substitute(VERSION=self.version)

        def make(folder: Path) -> None:
            copy(fetch(self.module, self.version) / self.manifests, folder / "upstream")
            (folder / "kustomization.yaml").write_text(overlay)
            (folder / "objects.yaml").write_text(run([toolbox.find("kubectl"), "kustomize", folder]))

        return cache.keep(f"addon-{self.name}", cache.digest(self, overlay), make) / "objects.yaml"


ADDONS = (
    Addon(
        "metrics-server",
        "sigs.k8s.io/metrics-server",
        pinned("METRICS_SERVER_VERSION"),
        "manifests",
        (names.METRICS_SERVER,),
        "kube-system",
        ("metrics-server",),
    ),
    Addon(
        "keda",
        "github.com/kedacore/keda/v2",
        pinned("KEDA_VERSION"),
        "config",
        (names.KEDA, names.KEDA_ADAPTER),
        "keda",
        ("keda-operator", "keda-metrics-apiserver"),
    ),
)
