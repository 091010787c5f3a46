"""The cluster that the tests run on, and releases in namespaces of their own.

`make cluster-up`'s own code brings it up beside a cluster of yours; CLUSTER_CONTEXT names another one instead, whose
nodes must be able to pull IMAGE and TINY_IMAGE. KEEP_CLUSTER=1 leaves it there for the next run.

Two lanes (-n 2) share the cluster, each module in a namespace of its own; tests that take from others what they need (a
node, KEDA) are marked `alone` and run when both have ended.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from scripts import image, toolbox
from scripts.cluster import cache
from scripts.versions import pinned
from tests.conftest import ROOT
from tests.support.cluster import Cluster, Release

NAME = "celery-test"
# The same in each run, since a cluster that was kept is made for its ports; not those of a cluster of yours.
PORTS = {
    "CLUSTER_API_PORT": "18000",
    "CLUSTER_FLOWER_PORT": "15555",
    "CLUSTER_PROMETHEUS_PORT": "19090",
    "CLUSTER_GRAFANA_PORT": "13000",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # A cluster is slow: builds of its images, pulls, drains.
    for item in items:
        if not any(item.iter_markers("timeout")):
            item.add_marker(pytest.mark.timeout(900))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    # Lanes leave the cluster to those that come after them; after an interrupt nobody does.
    if exitstatus == pytest.ExitCode.INTERRUPTED and session.config.getoption("numprocesses", None):
        take_away(surroundings())


@pytest.fixture(scope="session", autouse=True)
def kubectl() -> None:
    """Put the project's own kubectl first on the PATH, where testinfra looks for it."""
    os.environ["PATH"] = toolbox.on_path("kubectl")


def surroundings() -> dict[str, str]:
    """Return the environment for the project's commands, so that they mean the cluster of the tests."""
    if os.environ.get("CLUSTER_CONTEXT"):
        return dict(os.environ)
    # A file of its own: kind makes a new cluster the current context, and that is yours to choose.
    os.environ["KUBECONFIG"] = str(cache.root() / f"{NAME}.kubeconfig")
    return {**PORTS, **os.environ, "CLUSTER_NAME": NAME}


@pytest.fixture(scope="session")
def shell() -> dict[str, str]:
    return surroundings()


@pytest.fixture(scope="session")
def cluster(shell: dict[str, str]) -> Iterator[Cluster]:
    if context := os.environ.get("CLUSTER_CONTEXT"):
        assert os.environ.get("IMAGE"), "CLUSTER_CONTEXT is set: say with IMAGE=repository:tag what its nodes can pull"
        yield Cluster(context, os.environ["IMAGE"])
        return
    command([sys.executable, "-m", "scripts.cluster", "up"], shell)
    try:
        with cache.locked(f"{NAME}-images"):
            built = command([sys.executable, "-m", "scripts.image", "build", "--json"], shell)
        reference = json.loads(built)["reference"]
        carry(shell, reference, pinned("REDIS_IMAGE"))
        yield Cluster(f"kind-{NAME}", reference)
    finally:
        # A lane that ends first takes it from no other: the run of those marked `alone` does.
        if "PYTEST_XDIST_WORKER" not in os.environ:
            take_away(shell)


def take_away(shell: dict[str, str]) -> None:
    """Take the tests' own cluster away, unless it is wanted for the next run."""
    if not (os.environ.get("KEEP_CLUSTER") or os.environ.get("CLUSTER_CONTEXT")):
        command([sys.executable, "-m", "scripts.cluster", "down"], shell)


def carry(shell: dict[str, str], *references: str) -> None:
    """Bring images to the nodes of a cluster on this machine; those of another one pull them themselves."""
    if not os.environ.get("CLUSTER_CONTEXT"):
        with cache.locked(f"{NAME}-images"):
            for reference in references:
                image.ensure(reference)
            command([sys.executable, "-m", "scripts.cluster", "load", *references], shell)


def command(arguments: list[str], shell: dict[str, str]) -> str:
    """Return what a command prints; its progress goes to the terminal."""
    ran = subprocess.run(arguments, cwd=ROOT, env=shell, stdout=subprocess.PIPE, text=True)
    assert ran.returncode == 0, f"{' '.join(arguments)} ended with {ran.returncode}"
    return ran.stdout


@pytest.fixture(scope="module")
def releases(
    cluster: Cluster, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Release]]:
    """Make releases in the module's own namespace, which is gone afterwards."""
    name = Path(str(request.path)).stem.replace("_", "-")
    with ExitStack() as stack:
        namespace = stack.enter_context(cluster.namespace(name))

        def make(name: str = "celery", helm: str = "helm") -> Release:
            return Release(cluster, namespace, tmp_path_factory.mktemp(name), name, helm)

        yield make
