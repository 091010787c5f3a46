"""`make dashboards`: the JSON of every dashboard; `--check` says whether it is up to date."""

from __future__ import annotations

import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana.all import DASHBOARDS
from scripts import generated

# The folder itself lies in the chart: grafana/dashboards is a link to it.
FOLDER = Path(__file__).parent / "dashboards"


def texts() -> dict[str, str]:
    """Return what is to be in each file, by its name."""
    encode = JSONEncoder(sort_keys=True, indent=1, ensure_ascii=False).encode
    return {f"{page.uid}.json": encode(page) + "\n" for page in DASHBOARDS}


def main(argv: list[str] | None = None) -> int:
    """Write the files and remove those of dashboards that are gone, or compare; return 1 when they differ."""
    check = generated.checks(argv, "python -m grafana", __doc__)
    sentence = "grafana/dashboards/{name} is out of date: run make dashboards and commit it."
    return generated.settle(check, FOLDER, texts(), sentence, own="*.json")


if __name__ == "__main__":
    sys.exit(main())
