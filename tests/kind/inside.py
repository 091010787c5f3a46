"""The images that a node starts: the control plane, the proxy, the routes, the DNS, the volumes and the pause."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from scripts.cluster.programs import PROGRAMS
from tests.kind import docker, storage
from tests.kind.debian import Root

# Each a program and nothing else, which kubeadm's manifests call by its name.
ALONE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd", "coredns")
PROVISIONER = "local-path-provisioner"
PROGRAMS_OF_IMAGES = (*ALONE, "kube-proxy", PROVISIONER)
# Both kube-proxy and the DaemonSet that makes the routes call iptables and ip.
NETWORK = Root("bookworm", ("iptables", "nftables", "iproute2", "conntrack", "kmod"))
ROUTES = "docker.io/celery-on-kubernetes/routes:1"


def build(names: dict[str, str], binaries: dict[str, Path]) -> list[str]:
    """Make all of them and return their names; `names` are kubeadm's, by program. Raises Refused."""
    for program in ALONE:
        _make(names[program], {f"/{program}": PROGRAMS[program].build()}, "ENV PATH=/", f'ENTRYPOINT ["/{program}"]')
    _make(names["pause"], {"/pause": binaries["catatonit"]}, 'ENTRYPOINT ["/pause", "-P"]')
    provisioner, helper = storage.images()
    _make(provisioner, {f"/usr/bin/{PROVISIONER}": PROGRAMS[PROVISIONER].build()}, "ENV PATH=/usr/bin")
    applets = {f"/bin/{applet}": binaries["busybox"] for applet in ("sh", "mkdir", "rm")}
    _make(helper, applets, "ENV PATH=/bin")
    _network().build(names["kube-proxy"])
    docker.docker("tag", names["kube-proxy"], ROUTES)
    return [*(names[program] for program in (*ALONE, "pause", "kube-proxy")), provisioner, helper, ROUTES]


def _make(image: str, files: dict[str, Path], *changes: str) -> None:
    docker.import_files(image, files, "inside", changes)


def _network() -> Root:
    programs = [PROGRAMS[name].build() for name in ("kube-proxy", "kubectl")]
    copies = [f'cp "{path}" "$1/usr/local/bin/"' for path in programs]
    routes = Path(__file__).with_name("files") / "routes.sh"
    return replace(NETWORK, commands=(*copies, f'cp "{routes}" "$1/routes.sh"'))
