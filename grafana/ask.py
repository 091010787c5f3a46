"""Dashboard -> Prometheus: a dashboard's queries with the variables filled in as Grafana does, and what they return."""

from __future__ import annotations

import json
import re
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# Seconds for one query.
PATIENCE = 30


@dataclass(frozen=True)
class Series:
    """A line: its labels, its name in the legend, and its points (unix seconds, value)."""

    labels: Mapping[str, str]
    name: str
    points: list[tuple[float, float]]


@dataclass(frozen=True)
class Server:
    """A Prometheus and the span of time that is looked at, in unix seconds."""

    url: str
    start: float
    end: float
    step: float = 1.0

    def range(self, expr: str, legend: str = "") -> list[Series]:
        """Return what a query returns over the span. Raises ValueError in Prometheus' words for what is none."""
        told = self._get("query_range", query=expr, start=self.start, end=self.end, step=self.step)
        return [
            Series(one["metric"], name(legend, one["metric"]), [(at, float(value)) for at, value in one["values"]])
            for one in told["result"]
        ]

    def values(self, query: str) -> list[str]:
        """Return the values of a variable's `label_values(series, label)`."""
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
        if not found:
            raise ValueError(f"{query} is no label_values(series, label)")
        where = {"match[]": found[1], "start": self.start, "end": self.end}
        values: list[str] = self._get(f"label/{found[2]}/values", **where)
        return values

    def _get(self, path: str, **words: Any) -> Any:
        # POST would do for a query only.
        address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(words)}"
        try:
            with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise ValueError(f"{words}: {error.read().decode(errors='replace')}") from None


def fill(text: str, values: Mapping[str, str]) -> str:
    """Return `text` with the variables replaced."""
    return re.sub(r"\$(\w+)|\$\{(\w+)\}", lambda found: values.get(found[1] or found[2], found[0]), text)


def choices(server: Server, dashboard: Mapping[str, Any], wanted: Mapping[str, str]) -> dict[str, str]:
    """Return a value for each variable: the `wanted` one, all, or the first. Raises ValueError when there is none."""
    values = {"__rate_interval": "15s", "__interval": "5s"}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] != "query":
            continue
        found = server.values(fill(variable["query"]["query"], values))
        value = wanted.get(variable["name"]) or (variable.get("allValue") if variable["includeAll"] else None)
        if not found or (value not in (*found, variable.get("allValue")) and value):
            raise ValueError(f"variable {variable['name']} has the values {found}, and {value!r} is wanted")
        values[variable["name"]] = value or found[0]
    return values


def panels(dashboard: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the panels with queries."""
    yield from (panel for panel in dashboard["panels"] if panel["type"] != "row")


def name(legend: str, labels: Mapping[str, str]) -> str:
    """Return a legend with its {{labels}} filled in."""
    return re.sub(r"\{\{ *(\w+) *\}\}", lambda found: labels.get(found[1], ""), legend)
