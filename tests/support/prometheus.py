"""A real Prometheus that reads pages of this machine, for a test."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from scripts import toolbox
from scripts.ports import free_port
from scripts.stack import prometheus
from scripts.stack.prometheus import Pages
from tests.support.stack import until


@contextmanager
def reading(folder: Path, pages: Pages, rules: tuple[Path, ...] = ()) -> Iterator[str]:
    """Run a Prometheus that reads each of `pages` once a second; yield its address."""
    prometheus.write(folder, prometheus.configuration(pages, "1s", rules))
    port = free_port()
    address = f"127.0.0.1:{port}"
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            prometheus.command(toolbox.find("prometheus"), folder, port), stdout=log, stderr=subprocess.STDOUT
        )
        try:
            until(lambda: process.poll() is not None or _ready(address), 60, "Prometheus is ready")
            assert process.poll() is None, (folder / "prometheus.log").read_text()
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait(timeout=30)


def _ready(address: str) -> bool:
    try:
        return httpx.get(f"http://{address}/-/ready").status_code == 200
    except httpx.TransportError:
        return False
