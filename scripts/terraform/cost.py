"""A calculator of what a month costs: counts times prices, both the user's. It knows no price and promises none."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scripts.refused import Refused

# Hours of a month as AWS's own calculator has it.
HOURS = 730


@dataclass(frozen=True)
class Prices:
    """Prices by what is counted, per month, in a currency."""

    currency: str
    monthly: Mapping[str, float]


@dataclass(frozen=True)
class Bill:
    """What each thing costs a month: its name, how many, the price of one, and all of them."""

    currency: str
    rows: tuple[tuple[str, float, float, float], ...]

    @property
    def total(self) -> float:
        return sum(row[3] for row in self.rows)

    def as_json(self) -> dict[str, Any]:
        keys = ("item", "count", "each", "monthly")
        return {
            "currency": self.currency,
            "monthly": round(self.total, 2),
            "items": [dict(zip(keys, row, strict=True)) for row in self.rows],
        }

    def table(self) -> str:
        """Return the bill as text, and what is not in it."""
        lines = [f"{'item':<40}{'count':>8}{'each':>12}{'a month':>12}"]
        lines += [f"{name:<40}{count:>8g}{each:>12.2f}{monthly:>12.2f}" for name, count, each, monthly in self.rows]
        lines += [f"{'':<40}{'':>8}{self.currency:>12}{self.total:>12.2f}"]
        return "\n".join(
            [*lines, "Reckoned with your prices, for what stands still: traffic and what autoscalers add come on top."]
        )


def prices(path: Path) -> Prices:
    """Read prices: `currency`, `hourly` and `monthly` by what is counted. Raises Refused."""
    found = _mapping(path)
    by_hour = {name: _number(path, name, value) * HOURS for name, value in (found.get("hourly") or {}).items()}
    by_month = {name: _number(path, name, value) for name, value in (found.get("monthly") or {}).items()}
    return Prices(str(found.get("currency", "")), {**by_hour, **by_month})


def counts(path: Path) -> dict[str, float]:
    """Read how many there are of each thing. Raises Refused."""
    return {name: _number(path, name, value) for name, value in _mapping(path).items()}


def plan(path: Path) -> Any:
    """Read what `terraform show -json` said of a plan. Raises Refused."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise Refused(f"{path} is no plan as JSON: write it with terraform show -json plan >{path.name}.", 2) from None


def counts_of_plan(shown: Any) -> dict[str, float]:
    """Return how many of each priced thing stand when the plan is done. `shown` is what terraform show -json printed
    of a plan or of a state.
    """
    found: Counter[str] = Counter()
    zones = set()
    for resource in _resources((shown.get("planned_values") or shown.get("values") or {}).get("root_module", {})):
        kind, values = resource["type"], resource["values"]
        zones.update([values["availability_zone"]] if kind == "aws_subnet" else [])
        if kind in PRICED:
            for name, number in PRICED[kind](values):
                found[name] += number
    # Paid for in each zone.
    found["interface endpoint"] *= len(zones)
    return {name: number for name, number in found.items() if number}


def _nodes(values: dict[str, Any]) -> Iterator[tuple[str, float]]:
    # The first type is the one wanted most, and the fewest nodes are what stands still.
    capacity = "spot" if values["capacity_type"] == "SPOT" else "on-demand"
    least = values["scaling_config"][0]["min_size"]
    if least:
        yield f"node {values['instance_types'][0]} {capacity}", least


def _endpoint(values: dict[str, Any]) -> Iterator[tuple[str, float]]:
    if values["vpc_endpoint_type"] == "Interface":
        yield "interface endpoint", 1


PRICED: dict[str, Any] = {
    "aws_eks_cluster": lambda values: [("cluster", 1)],
    "aws_eks_node_group": _nodes,
    "aws_nat_gateway": lambda values: [("nat gateway", 1)],
    "aws_vpc_endpoint": _endpoint,
    "aws_elasticache_replication_group": lambda values: [
        (f"broker {values['node_type']}", values["num_cache_clusters"])
    ],
    "aws_kms_key": lambda values: [("key", 1)],
    "aws_cloudwatch_metric_alarm": lambda values: [("alarm", 1)],
    "aws_secretsmanager_secret": lambda values: [("secret", 1)],
}


def reckon(counted: Mapping[str, float], priced: Prices) -> Bill:
    """Multiply. Raises Refused for what has no price."""
    missing = sorted(set(counted) - set(priced.monthly))
    if missing:
        raise Refused(
            f"There is no price for {', '.join(missing)}: write it under hourly or monthly in the file of prices.", 2
        )
    rows = (
        (name, count, priced.monthly[name], round(count * priced.monthly[name], 2))
        for name, count in sorted(counted.items())
    )
    return Bill(priced.currency, tuple(rows))


def _resources(module: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from (resource for resource in module.get("resources", []) if resource["mode"] == "managed")
    for child in module.get("child_modules", []):
        yield from _resources(child)


def _mapping(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        raise Refused(f"{path} can't be read as YAML: name a file like terraform/prices.example.yaml.", 2) from None
    if not isinstance(found, dict):
        raise Refused(f"{path} is no mapping: write it like terraform/prices.example.yaml.", 2)
    return found


def _number(path: Path, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise Refused(f"{path}: {name} is {value!r}, and must be a number of 0 or more.", 2)
    return float(value)
