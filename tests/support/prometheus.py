"""A real Prometheus that reads pages of this machine, for a test."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from scripts import toolbox
from scripts.ports import free_port
from tests.support.stack import until

# The labels of a page, by its port.
Pages = Mapping[int, Mapping[str, str]]


@contextmanager
def reading(folder: Path, pages: Pages, rules: tuple[Path, ...] = ()) -> Iterator[str]:
    """Run a Prometheus that reads each of `pages` once a second; yield its address."""
    targets = [{"targets": [f"127.0.0.1:{port}"], "labels": dict(labels)} for port, labels in pages.items()]
    configuration = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "5s"},
        "scrape_configs": [{"job_name": "pages", "static_configs": targets}],
        "rule_files": [str(path) for path in rules],
    }
    # JSON is YAML.
    (folder / "prometheus.yml").write_text(json.dumps(configuration), encoding="utf-8")
    address = f"127.0.0.1:{free_port()}"
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [
                str(toolbox.find("prometheus")),
                *("--config.file", str(folder / "prometheus.yml"), "--storage.tsdb.path", str(folder / "tsdb")),
                *("--web.listen-address", address, "--log.level", "warn"),
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
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
