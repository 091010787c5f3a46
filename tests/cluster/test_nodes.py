"""Nodes go, as nodes do: drained, dead or cut off; accepted work is done all the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from scripts.cluster import engine, nodes
from scripts.cluster.client import Client
from tests.support.cluster import Cluster, Release
from tests.support.stack import until

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(bool(os.environ.get("CLUSTER_CONTEXT")), reason="nodes are killed in a kind cluster only"),
]
# Seconds: longer than it takes to see that a task runs.
LONG = 15


@pytest.fixture(scope="module")
def client(cluster: Cluster) -> Client:
    host = engine.find()
    assert host
    return Client(cluster.context.removeprefix("kind-"), host)


@pytest.fixture(scope="module")
def release(releases: Callable[..., Release]) -> Release:
    release = releases()
    # Two workers, and the spread puts them on two nodes.
    release.install({"workers": {"groups": {"email": {"replicas": 2}, "default": {"replicas": 2}}}})
    return release


@pytest.fixture
def other_node(release: Release, client: Client) -> Iterator[str]:
    """The worker node without the broker and the producer, in whatever state; back and at work afterwards."""
    broker = release.pods("broker")[0]["spec"]["nodeName"]
    node = next(name for name in nodes.workers(client) if name != broker)
    producer = release.kube.json("get", "pod", release.producer)["spec"]["nodeName"]
    if producer == node:
        release.start_producer(broker)
    yield node
    nodes.uncordon(client, node)
    release.wait()


def on_node(release: Release, node: str) -> list[str]:
    return [
        pod["metadata"]["name"]
        for group in ("email", "default")
        for pod in release.pods("worker", group)
        if pod["spec"]["nodeName"] == node
    ]


def test_draining_a_node_ends_no_running_task(release: Release, client: Client, other_node: str) -> None:
    assert len(on_node(release, other_node)) >= 2
    sent = [*release.send("tasks.faults.sleep", LONG, "drain", count=4, queue="email")]
    sent += release.send("tasks.faults.sleep", LONG, "drain", count=4, queue="default")
    until(lambda: len(release.started("drain")) >= 4, 30, "tasks run on both nodes")
    nodes.drain(client, other_node)
    assert on_node(release, other_node) == []
    release.agrees("drain", sent, 120)


def test_the_work_of_a_node_that_dies_runs_again_on_another(release: Release, client: Client, other_node: str) -> None:
    nodes.uncordon(client, other_node)
    _spread(release, other_node)
    sent = release.send("tasks.faults.sleep", LONG, "dead", count=4, queue="email")
    until(lambda: len(release.started("dead")) == 4, 30, "all four tasks run")
    client.docker("kill", other_node)
    try:
        # Long before Kubernetes gives the node up (40 s) or its pods (5 min): the lease is 10 s here.
        release.agrees("dead", sent, 10 + 15 + 3 * LONG, repeats=2)
    finally:
        nodes.start(client, other_node)


def test_a_node_that_is_cut_off_and_comes_back_runs_nothing_twice_at_a_time(
    release: Release, client: Client, other_node: str
) -> None:
    _spread(release, other_node)
    sent = release.send("tasks.faults.sleep", LONG, "cut", count=4, queue="email")
    until(lambda: len(release.started("cut")) == 4, 30, "all four tasks run")
    nodes.partition(client, other_node)
    try:
        # What the cut-off worker held runs again; it ends its own copy, and nobody hears of that.
        until(lambda: set(sent) <= release.ended("cut"), 120, "all four have ended")
    finally:
        nodes.heal(client, other_node)
    release.agrees("cut", sent, 60, repeats=2)


def _spread(release: Release, node: str) -> None:
    """Have one email worker on each node: a drain has moved both to the other."""

    def spread() -> bool:
        release.wait()
        pods = release.pods("worker", "email")
        if len({pod["spec"]["nodeName"] for pod in pods}) == 2:
            return True
        release.kube.kubectl("delete", "pod", pods[-1]["metadata"]["name"], timeout=60)
        return False

    until(spread, 120, f"an email worker on {node} and one elsewhere")
