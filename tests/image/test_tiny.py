"""The tiny application of somebody else, with which the cluster tests show that the chart runs any Celery image."""

from __future__ import annotations

import subprocess

from scripts import image as images
from tests.cluster.tiny.image import TINY
from tests.image.containers import Network


def test_its_worker_does_a_task_under_the_same_restrictions(network: Network, settings: dict[str, str]) -> None:
    tiny = images.build(TINY)[0]
    with network.running(tiny, environment=settings) as worker:
        worker.wait_until("the worker is ready", lambda: "ready." in worker.logs())
        ask = "from tiny import add; print(add.delay(2, 3).get(timeout=20))"
        assert network.run(tiny, "python", "-c", ask, environment=settings) == "5"


def test_it_shares_no_code_with_the_application() -> None:
    text = "".join((TINY.context / name).read_text(encoding="utf-8") for name in ("tiny.py", "Dockerfile"))
    imports = [line for line in text.splitlines() if line.lstrip().startswith(("import ", "from "))]
    assert not any("app." in line or " app" in line for line in imports)
    assert subprocess.run(["git", "check-ignore", "-q", TINY.context / "tiny.py"]).returncode == 1
