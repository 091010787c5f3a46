"""Pages -> Prometheus: the stack's own, where this machine has one; it knows the alerts, and keeps two days."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from scripts import rules as chart_rules
from scripts import toolbox
from scripts.files import lay
from scripts.stack.process import Process

# The labels of a page, by its port on the loopback.
Pages = Mapping[int, Mapping[str, str]]
NAMESPACE, INSTANCE = "stack", "celery"
INTERVAL, RETENTION = "5s", "2d"
MISSING = (
    "Prometheus is not started, because there is none on PATH or in the cache; the pages are there all the same. "
    "To have it: .venv/bin/python -m scripts.toolbox prometheus (builds it, once), then make up again."
)


def program() -> Path | None:
    """Return the path of a Prometheus that is here already."""
    return toolbox.present("prometheus")


def pages(processes: Iterable[Process]) -> dict[int, dict[str, str]]:
    """Return the pages of those of `processes` that have one, labelled as the chart's PodMonitor labels pods."""
    variables = ("CELERY_METRICS_PORT", "EXPORTER_PORT")
    return {
        int(process.environment[variable]): {
            "namespace": NAMESPACE,
            "pod": f"{INSTANCE}-{process.name}-0",
            "app_kubernetes_io_instance": INSTANCE,
        }
        for process in processes
        for variable in variables
        if variable in process.environment
    }


def rules() -> dict[str, Any]:
    """Return the groups of the chart's rules whose numbers there are here."""
    return {"groups": [group for groups in chart_rules.told().values() for group in groups]}


def configuration(pages: Pages, interval: str, rules: Iterable[Path]) -> str:
    """Return the text of a configuration that reads `pages`, and looks at `rules`, every `interval`."""
    targets = [{"targets": [f"127.0.0.1:{port}"], "labels": dict(labels)} for port, labels in pages.items()]
    document: dict[str, Any] = {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": "5s"},
        "scrape_configs": [{"job_name": "pages", "static_configs": targets}],
        "rule_files": sorted(map(str, rules)),
    }
    # JSON is YAML.
    return json.dumps(document, indent=2)


def command(program: Path, folder: Path, port: int) -> tuple[str, ...]:
    """Return the command line of a Prometheus with its configuration and its data in `folder`."""
    return (
        *(str(program), "--config.file", str(folder / "prometheus.yml"), "--storage.tsdb.path", str(folder / "tsdb")),
        *("--storage.tsdb.retention.time", RETENTION, "--log.level", "warn"),
        *("--web.listen-address", f"127.0.0.1:{port}"),
    )


def write(folder: Path, text: str) -> None:
    """Write a configuration to where `command` reads it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lay(folder / "prometheus.yml", text)


def write_all(folder: Path, processes: Iterable[Process]) -> None:
    """Write the configuration of the stack's Prometheus, which reads the pages of `processes`, and its rules."""
    write(folder, configuration(pages(processes), INTERVAL, [folder / "rules.yml"]))
    lay(folder / "rules.yml", json.dumps(rules()))


def digest(processes: Iterable[Process]) -> str:
    """Return a short name for all that `write_all` writes: another one is read by another process only."""
    return hashlib.sha256(json.dumps([pages(processes), INTERVAL, rules()]).encode()).hexdigest()[:16]
