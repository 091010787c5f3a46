"""The tiny application of somebody else, with which the cluster tests show that the chart runs any Celery image."""

from __future__ import annotations

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
    lines = (TINY.context / "tiny.py").read_text(encoding="utf-8").splitlines()
    imports = {line.split()[1].split(".")[0] for line in lines if line.startswith(("import ", "from "))}
    assert imports == {"__future__", "os", "time", "celery"}
