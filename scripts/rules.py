"""The chart's alert rules for a Prometheus without Kubernetes: those whose numbers a stack on one machine tells."""

from __future__ import annotations

from typing import Any

import yaml

from scripts.versions import ROOT

RULES = ROOT / "helm" / "celery" / "files" / "rules"
# What tells numbers there, in the words of the rules: an alert that nobody tells of Kubernetes would ring for ever.
SOURCES = {"exporter", "workers", "beat"}


def told() -> dict[str, list[dict[str, Any]]]:
    """Return the groups that read nothing but SOURCES, by file; a group's name ends in what it reads."""
    files = {
        path.name: yaml.safe_load(path.read_text(encoding="utf-8"))["groups"] for path in sorted(RULES.glob("*.yaml"))
    }
    return {
        name: [group for group in groups if set(group["name"].rpartition(".")[2].split("+")) <= SOURCES]
        for name, groups in files.items()
    }
