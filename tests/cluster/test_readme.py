"""What the README says of Helm works as it stands there, with the chart's own defaults."""

from __future__ import annotations

import os
import re
import subprocess

from scripts import toolbox
from scripts.deploy import rollout
from tests.conftest import ROOT
from tests.support.cluster import Cluster, remove_namespace

# The README's own is that of the plain manifests, too, which another lane may be applying.
NAMESPACE = "test-readme"
(BLOCK,) = re.findall(
    r"<!-- run: chart -->\n```sh\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL
)


def test_helm_install_and_helm_test_work_as_they_stand_there(cluster: Cluster) -> None:
    repository, _, tag = cluster.image.rpartition(":")
    ours = BLOCK.replace("registry.example.com/celery", f"{repository} --set image.tag={tag}")
    install, test = ours.replace("--namespace celery", f"--namespace {NAMESPACE}").splitlines()
    kube = cluster.kube(NAMESPACE)
    remove_namespace(kube)
    try:
        ran = shell(cluster, install)
        assert ran.returncode == 0, ran.stderr
        assert "Send a task through every queue" in ran.stdout
        # What the notes say comes next.
        rollout.wait(kube, 240, lambda _: None)
        ran = shell(cluster, test)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "All 8 checks passed." in ran.stdout
    finally:
        remove_namespace(kube)


def shell(cluster: Cluster, line: str) -> subprocess.CompletedProcess[str]:
    surroundings = {**os.environ, "PATH": toolbox.on_path("helm"), "HELM_KUBECONTEXT": cluster.context}
    return subprocess.run(["bash", "-c", line], cwd=ROOT, env=surroundings, capture_output=True, text=True, timeout=400)
