"""Every image that the cluster needs, under its upstream name, and how it is made where it can't be pulled."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from scripts.cluster import cache, names
from scripts.cluster.programs import PROGRAMS
from scripts.progress import step
from scripts.refused import Refused
from scripts.versions import pinned
from tests.kind import docker, node
from tests.kind.debian import Root


@dataclass(frozen=True)
class Image:
    """What goes into an image, as a hash, and how to make it under a name."""

    key: str
    build: Callable[[str], None]


def _root(root: Root) -> Image:
    return Image(root.key, root.build)


def _program(name: str, *changes: str) -> Image:
    return _programs({f"/{name}": name}, *changes)


def _programs(paths: Mapping[str, str], *changes: str) -> Image:
    """Return the image that holds some programs, named by their paths in it."""
    key = cache.digest([(path, PROGRAMS[name].key) for path, name in paths.items()], changes)

    def build(image: str) -> None:
        docker.import_files(image, {path: PROGRAMS[name].build() for path, name in paths.items()}, key, changes)

    return Image(key, build)


def _monitoring() -> dict[str, Image]:
    nobody = "USER 65534:65534"
    return {
        pinned("PROMETHEUS_IMAGE"): _programs(
            {"/bin/prometheus": "prometheus", "/bin/promtool": "promtool"},
            *("ENV PATH=/bin", 'ENTRYPOINT ["/bin/prometheus"]', "WORKDIR /prometheus", nobody),
        ),
        pinned("ALERTMANAGER_IMAGE"): _programs(
            {"/bin/alertmanager": "alertmanager"},
            *("ENV PATH=/bin", 'ENTRYPOINT ["/bin/alertmanager"]', "WORKDIR /alertmanager", nobody),
        ),
        pinned("KUBE_STATE_METRICS_IMAGE"): _program(
            "kube-state-metrics", 'ENTRYPOINT ["/kube-state-metrics"]', nobody
        ),
    }


def _addons() -> dict[str, Image]:
    return {
        names.KEDA: _program("keda", "USER 65532:65532"),
        names.KEDA_ADAPTER: _program("keda-adapter", "USER 65532:65532"),
        names.METRICS_SERVER: _program("metrics-server", 'ENTRYPOINT ["/metrics-server"]', "USER 65534:65534"),
    }


def _node() -> Image:
    # The add-ons are in it from the start: loading them takes longer than anything else that `cluster-up` does.
    key = cache.digest(node.key(), *(addon.key for addon in _addons().values()))

    def build(image: str) -> None:
        for name in _addons():
            ensure(name)
        node.build(image, key, list(_addons()))

    return Image(key, build)


def images() -> dict[str, Image]:
    """Return the images that can be built, by name, the longest builds first."""
    return {
        names.NODE: _node(),
        **_addons(),
        **_monitoring(),
        pinned("PYTHON_IMAGE"): _root(PYTHON),
        pinned("REDIS_IMAGE"): _root(REDIS),
        pinned("VALKEY_IMAGE"): _root(VALKEY),
    }


# Stand-ins: the same commands, user ids and folders as the official images, and Debian's builds of the programs.
PYTHON = Root(
    "trixie",
    ("python3", "python3-venv", "python3-pip", "ca-certificates", "netbase", "tzdata"),
    ("ENV LANG=C.UTF-8", 'CMD ["python3"]'),
    commands=(
        'ln -s ../../bin/python3 "$1/usr/local/bin/python"',
        # Debian's pip refuses to install beside apt; the official image has no apt's Python.
        'rm "$1"/usr/lib/python3*/EXTERNALLY-MANAGED',
    ),
)
REDIS = Root(
    "bookworm",
    ("redis-server", "redis-tools"),
    ("WORKDIR /data", "VOLUME /data", "EXPOSE 6379", 'CMD ["redis-server"]'),
    users=(("redis", 999),),
    commands=('mkdir "$1/data"', 'chown 999:999 "$1/data"'),
)
VALKEY = Root(
    "trixie",
    ("valkey-server", "valkey-sentinel", "valkey-tools"),
    ("WORKDIR /data", "VOLUME /data", "EXPOSE 6379", 'CMD ["valkey-server"]'),
    users=(("valkey", 999),),
    commands=('mkdir "$1/data"', 'chown 999:999 "$1/data"'),
)


def ensure(name: str) -> None:
    """See to it that Docker has an image: it is there, or is pulled, or is built. Raises Refused with the way out."""
    known = images().get(name)
    has = docker.key_of(name)
    if has == "" or (has is not None and (known is None or has == known.key)):
        return
    if has is None and _pulled(name):
        return
    if known is None:
        raise Refused(f"There is no image {name}, and it can't be pulled: build or load it, or check its name.")
    build(name)


def build(name: str) -> None:
    """Build an image, whether it is there or not. Raises Refused with the way out."""
    if name not in images():
        raise Refused(f"There is no image {name!r} to build: ask for one of {', '.join(images())}.", 2)
    images()[name].build(name)
    # What this name meant before; gigabytes, after a few changes of the node.
    docker.docker("image", "prune", "--force", "--filter", f"label={docker.KEY}")


def _pulled(name: str) -> bool:
    try:
        with step(f"Pulling {name}"):
            docker.docker("pull", "--quiet", name)
    except Refused as refused:
        print(f"    {refused.details.strip().splitlines()[-1].strip()}: it will be built", file=sys.stderr)
        return False
    return True
