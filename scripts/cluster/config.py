"""What a cluster is made from: its name, its ports, and what this machine needs on top of `kind.yaml`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

from scripts import ports
from scripts.cluster import cache, names, private_engine
from scripts.refused import Refused

HERE = Path(__file__).parent
# Each port's variable and default: those that the README opens.
PORTS = {
    "api": ("CLUSTER_API_PORT", 8000),
    "flower": ("CLUSTER_FLOWER_PORT", 5555),
    "prometheus": ("CLUSTER_PROMETHEUS_PORT", 9090),
    "grafana": ("CLUSTER_GRAFANA_PORT", 3000),
}
ONLY_CGROUP_V1 = "kind: KubeletConfiguration\napiVersion: kubelet.config.k8s.io/v1beta1\nfailCgroupV1: false\n"
RUNC = "/kind/runc.sh"
LESSER = f"""\
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  BinaryName = "{RUNC}"
"""


@dataclass(frozen=True)
class Config:
    """A cluster's name and the ports of this machine that lead into it."""

    name: str
    ports: Mapping[str, int]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Config:
        """Read CLUSTER_NAME and the ports' variables. Raises Refused for what can't be one."""
        name = environment.get("CLUSTER_NAME") or "celery"
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,40}", name):
            raise Refused(f"CLUSTER_NAME is {name!r}: allowed are lower-case letters, digits and dashes.", 2)
        return cls(name, ports.read_all(environment, PORTS, lowest=1))

    @property
    def context(self) -> str:
        return f"kind-{self.name}"

    def kind(self) -> str:
        """Return the configuration for kind."""
        old_cgroups = not Path("/sys/fs/cgroup/cgroup.controllers").exists()
        lesser = private_engine.lacks_sys_resource()
        mounts = [{"hostPath": str(self._runc()), "containerPath": RUNC, "readOnly": True}] if lesser else []
        return Template((HERE / "kind.yaml").read_text()).substitute(
            NODE_IMAGE=names.NODE,
            SERVICES=names.SERVICES,
            **{f"{port.upper()}_PORT": number for port, number in self.ports.items()},
            MOUNTS=json.dumps(mounts),
            KUBEADM_PATCHES=json.dumps([ONLY_CGROUP_V1] if old_cgroups else []),
            CONTAINERD_PATCHES=json.dumps([LESSER] if lesser else []),
        )

    def _runc(self) -> Path:
        # A copy: a clone may be moved while its cluster runs.
        text = private_engine.RUNC.read_text()

        def make(folder: Path) -> None:
            (folder / "runc.sh").write_text(text)
            (folder / "runc.sh").chmod(0o755)

        return cache.keep("runc", cache.digest(text), make) / "runc.sh"


def from_environment() -> Config:
    """Read this process's environment. Raises Refused."""
    return Config.from_environment(os.environ)
