"""All dashboards, in the order of the links on their heads."""

from __future__ import annotations

from grafana import beat, broker, overview, queue, task, workers

DASHBOARDS = [module.build() for module in (overview, queue, task, workers, broker, beat)]
