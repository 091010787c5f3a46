"""The node image: kind's own node files on a Debian, and the programs and images that kubeadm and kubelet start."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from scripts.cluster import cache
from scripts.cluster.golang import copy, fetch
from scripts.cluster.programs import PROGRAMS
from scripts.progress import run, step
from scripts.versions import pinned
from tests.kind import debian, docker, inside, storage
from tests.kind.debian import Root

FILES = Path(__file__).with_name("files")
KUBERNETES = f"v{pinned('KUBERNETES_VERSION')}"
PROGRAMS_OF_A_NODE = ("kubelet", "kubeadm", "kubectl", "containerd", "containerd-shim-runc-v2", "ctr", "crictl")
DEBIAN = Root(
    "bookworm",
    (
        *("systemd", "dbus", "procps", "kmod", "mount", "util-linux", "e2fsprogs", "fuse-overlayfs", "bash", "jq"),
        *("iptables", "nftables", "conntrack", "iproute2", "ethtool", "socat", "curl", "ca-certificates"),
        *("runc", "containernetworking-plugins", "libseccomp2", "pigz"),
        # Taken out again, for the images of the pause container and of the volumes' helper.
        *("catatonit", "busybox-static"),
    ),
)


def key() -> str:
    """Return the hash of all that goes into the image."""
    programs = [PROGRAMS[name].key for name in (*PROGRAMS_OF_A_NODE, *inside.PROGRAMS_OF_IMAGES)]
    code = [Path(module.__file__ or "") for module in (debian, docker, inside, storage)]
    own = [path.read_text() for path in (*sorted(FILES.iterdir()), Path(__file__), *code)]
    return cache.digest(DEBIAN, inside.NETWORK, pinned("KIND_VERSION"), *programs, *own)


def build(image: str, key: str, more: Sequence[str]) -> None:
    """Build the node image, labelled with `key`, with `more` images in it. Raises Refused with the way out."""
    for name, program in PROGRAMS.items():
        if name in (*PROGRAMS_OF_A_NODE, *inside.PROGRAMS_OF_IMAGES):
            program.build()
    base, bare = "celery-on-kubernetes/node-debian", "celery-on-kubernetes/node-bare"
    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder)
        tar = stage / "debian.tar"
        with step("Making the nodes' Debian"):
            DEBIAN.tar(tar)
            docker.import_tar(base, tar, DEBIAN.key)
        with step("Making the images inside of the nodes"):
            names = _names()
            inner = inside.build(names, _taken_out(tar, stage))
            tar.unlink()
        with step("Making the node without images"):
            _lay_out(stage, names["pause"])
            docker.docker("build", "--quiet", "--build-arg", f"BASE={base}", "--tag", bare, stage)
    with step(f"Making {image}"):
        _fill(bare, [*inner, *more], image, key)
    docker.docker("image", "rm", base, bare, *inner)


def _names() -> dict[str, str]:
    """Return the images that kubeadm will ask for, by their last word: kube-proxy, pause, ..."""
    kubeadm = PROGRAMS["kubeadm"].build()
    listed = run([kubeadm, "config", "images", "list", "--kubernetes-version", KUBERNETES]).split()
    return {name.rpartition("/")[2].partition(":")[0]: name for name in listed}


def _taken_out(tar: Path, folder: Path) -> dict[str, Path]:
    with tarfile.open(tar) as archive:
        for name in ("catatonit", "busybox"):
            source = archive.extractfile(f"./usr/bin/{name}")
            assert source
            (folder / name).write_bytes(source.read())
    return {name: folder / name for name in ("catatonit", "busybox")}


def _lay_out(stage: Path, pause: str) -> None:
    """Put into a folder what the Dockerfile copies."""
    files = stage / "files"
    copy(fetch("sigs.k8s.io/kind", pinned("KIND_VERSION")) / "images/base/files", files)
    manifests = files / "kind/manifests"
    manifests.mkdir()
    cni = (FILES / "default-cni.yaml").read_text().replace("IMAGE", inside.ROUTES)
    (manifests / "default-cni.yaml").write_text(cni)
    (manifests / "default-storage.yaml").write_text(storage.manifest())
    (files / "kind/version").write_text(KUBERNETES)
    config = files / "etc/containerd/config.toml"
    config.write_text(config.read_text().replace("registry.k8s.io/pause:3.10", pause))
    (stage / "bin").mkdir()
    for name in PROGRAMS_OF_A_NODE:
        shutil.copy(PROGRAMS[name].build(), stage / "bin")
    shutil.copy(FILES / "Dockerfile", stage)


def _fill(bare: str, images: Sequence[str], image: str, key: str) -> None:
    """Import images into containerd's store in a container of the bare node, and commit it, as kind itself does."""
    options = ["--detach", "--rm", "--entrypoint", "sleep", "--security-opt", "seccomp=unconfined"]
    container = docker.docker("run", *options, bare, "infinity")
    try:
        docker.docker("exec", "--detach", container, "containerd")
        ready = "until ctr version; do sleep 0.1; done"
        docker.docker("exec", container, "timeout", "60", "sh", "-c", ready)
        with tempfile.TemporaryDirectory() as folder:
            tar = Path(folder) / "images.tar"
            docker.docker("save", "--output", tar, *images)
            docker.docker("cp", tar, f"{container}:/images.tar")
        imported = ["--label", "io.cri-containerd.pinned=pinned", "--all-platforms", "--no-unpack", "--digests"]
        docker.docker("exec", container, "ctr", "-n", "k8s.io", "images", "import", *imported, "/images.tar")
        ended = "rm /images.tar; pkill -x containerd; while pgrep -x containerd; do sleep 0.1; done"
        docker.docker("exec", container, "timeout", "60", "sh", "-c", ended)
        changes = ['ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]', "CMD []", f"LABEL {docker.KEY}={key}"]
        docker.docker("commit", *(word for change in changes for word in ("--change", change)), container, image)
    finally:
        docker.docker("rm", "--force", "--volumes", container)
