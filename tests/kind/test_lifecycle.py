"""A cluster of its own, beside yours: made, interrupted, mended and taken away. Four times as long as `cluster-up`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from scripts.cluster import engine, names
from scripts.cluster.client import Client
from scripts.cluster.config import PORTS
from scripts.ports import free_port
from tests.conftest import ROOT
from tests.support.stack import until

NAME = "lifecycle-test"
pytestmark = pytest.mark.timeout(900)


class Verbs:
    """`python -m scripts.cluster` for one cluster, as a person would call it."""

    def __init__(self, folder: Path) -> None:
        ports = {variable: str(free_port()) for variable, _ in PORTS.values()}
        self.environment = os.environ | ports | {"CLUSTER_NAME": NAME, "KUBECONFIG": str(folder / "kubeconfig")}

    def start(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "scripts.cluster", *words]
        return subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def __call__(self, *words: str, code: int = 0) -> str:
        process = self.start(*words)
        said, complained = process.communicate(timeout=600)
        assert process.returncode == code, complained
        return said if code == 0 else complained


@pytest.fixture(scope="module")
def verbs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Verbs]:
    host, _ = engine.up()
    verbs = Verbs(tmp_path_factory.mktemp("cluster"))
    yield verbs
    verbs("down")
    # `down` may have stopped the engine, if this was all that ran on it.
    if engine.find():
        assert Client(NAME, host).nodes() == []


@pytest.fixture(scope="module")
def client(verbs: Verbs) -> Client:
    host = engine.find()
    assert host
    return Client(NAME, host)


def test_a_killed_cluster_up_leaves_nothing_that_the_next_can_not_clean(verbs: Verbs, client: Client) -> None:
    killed = verbs.start("up")
    until(lambda: len(client.nodes()) == 3, 300, "kind has made its nodes")
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    answer = json.loads(verbs("up", "--json"))
    assert answer["changed"]
    assert answer["ready"]
    assert list(answer["nodes"].values()) == [True] * 3


def test_a_second_up_changes_nothing_and_says_so(verbs: Verbs) -> None:
    assert "nothing changed" in verbs("up")
    assert not json.loads(verbs("up", "--json"))["changed"]


def test_a_node_that_stopped_is_seen_and_started_again(verbs: Verbs, client: Client) -> None:
    client.docker("kill", f"{NAME}-worker")
    status = json.loads(verbs.start("status", "--json").communicate()[0])
    assert not status["ready"]
    assert status["nodes"] == {f"{NAME}-control-plane": True, f"{NAME}-worker": False, f"{NAME}-worker2": True}
    assert json.loads(verbs("up", "--json"))["nodes"][f"{NAME}-worker"]


def test_other_ports_than_it_was_made_with_are_refused(verbs: Verbs) -> None:
    other = Verbs(Path(verbs.environment["KUBECONFIG"]).parent)
    assert "was made with other settings or versions" in other("up", code=1)


def test_an_image_that_docker_lacks_is_refused_with_what_to_do(verbs: Verbs) -> None:
    assert "Docker has no image no/such:image: build it (`make image`) or pull it first." in verbs(
        "load", "no/such:image", code=1
    )


def test_down_leaves_no_container_and_no_volume(verbs: Verbs, client: Client) -> None:
    volumes = set(client.docker("volume", "ls", "--quiet").split())
    verbs("down")
    if not engine.find():
        return
    assert client.nodes() == []
    assert len(volumes - set(client.docker("volume", "ls", "--quiet").split())) >= 3
    assert NAME not in Path(verbs.environment["KUBECONFIG"]).read_text()
    assert "nothing changed" in verbs("down")


def test_a_kind_that_dies_at_its_work_is_cleaned_up_after_and_tried_once_more(verbs: Verbs, client: Client) -> None:
    engine.up()
    process = verbs.start("up", "--json")
    until(lambda: len(client.nodes()) == 3, 300, "kind has made its nodes")
    (creating,) = (each for each in psutil.Process(process.pid).children() if each.cmdline()[1:2] == ["create"])
    creating.kill()
    said, told = process.communicate(timeout=800)
    assert process.returncode == 0, told
    assert "kind made no cluster; once more from the beginning" in told
    assert json.loads(said)["ready"]
    verbs("down")


def test_a_cluster_that_was_not_made_here_is_left_alone(verbs: Verbs) -> None:
    host, _ = engine.up()
    client = Client(NAME, host)
    labels = ["--label", f"io.x-k8s.kind.cluster={NAME}", "--label", "io.x-k8s.kind.role=control-plane"]
    client.docker("run", "--detach", "--name", f"{NAME}-x", *labels, "--entrypoint", "sleep", names.NODE, "600")
    try:
        for verb in ("up", "down"):
            assert "was not made here: choose another name with CLUSTER_NAME=" in verbs(verb, code=1)
        assert client.nodes() == [f"{NAME}-x"]
    finally:
        client.docker("rm", "--force", "--volumes", f"{NAME}-x")
