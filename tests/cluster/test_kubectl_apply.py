"""`kubectl apply -k k8s/` gives the same as Helm, and applying again keeps the passwords."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from scripts.deploy import rollout
from scripts.deploy.kube import Kube
from scripts.manifests import FOLDER, NAMESPACE
from tests.support.cluster import Cluster, remove_namespace
from tests.support.stack import until


@pytest.fixture(scope="module")
def applied(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Kube, Path]]:
    kube = cluster.kube(NAMESPACE)
    remove_namespace(kube)
    # What k8s/README.md tells people to write: their image on top of the folder.
    folder = tmp_path_factory.mktemp("mine")
    repository, _, tag = cluster.image.rpartition(":")
    (folder / "k8s").symlink_to(FOLDER)
    image = {"name": "celery-on-kubernetes", "newName": repository, "newTag": tag}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump({"resources": ["k8s"], "images": [image]}))
    apply(kube, folder)
    rollout.wait(kube, 240, lambda _: None)
    yield kube, folder
    remove_namespace(kube)


def apply(kube: Kube, folder: Path) -> None:
    ran = subprocess.run(
        [*kube.command, "apply", "--kustomize", str(folder)], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr


def test_a_task_goes_through_every_queue(applied: tuple[Kube, Path]) -> None:
    kube, _ = applied
    code = (
        "import json; from app.celery_app import app; from app.queues import QUEUE_NAMES; "
        "sent = [app.send_task('celery.accumulate', [name], {'index': 0}, queue=name) for name in QUEUE_NAMES]; "
        "print(json.dumps([each.get(timeout=60) for each in sent]))"
    )
    answer = kube.kubectl("exec", "deployment/celery-beat", "--", "python", "-c", code)
    assert json.loads(answer.splitlines()[-1]) == ["default", "email", "report", "high", "high_priority"]


def test_applying_again_changes_nothing_and_keeps_the_passwords(applied: tuple[Kube, Path]) -> None:
    kube, folder = applied
    before = kube.json("get", "secret", "celery")["data"]
    assert len(before) == 5
    generations = specified(kube)
    apply(kube, folder)
    assert specified(kube) == generations
    assert kube.json("get", "secret", "celery")["data"] == before


def specified(kube: Kube) -> dict[str, int]:
    """Return how often the specification of each object has changed; kubectl's own words count defaults as changes."""
    items = kube.items("deployments,statefulsets,poddisruptionbudgets,networkpolicies,jobs")
    return {f"{item['kind']}/{item['metadata']['name']}": item["metadata"]["generation"] for item in items}


def test_no_label_says_that_helm_made_it(applied: tuple[Kube, Path]) -> None:
    kube, _ = applied
    helms = "app.kubernetes.io/managed-by=Helm"
    until(
        lambda: not kube.json("get", "deployments,services,secrets", "--selector", helms)["items"], 5, "no Helm label"
    )
