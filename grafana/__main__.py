"""`make dashboards`: the JSON of every dashboard; `--check` says whether it is up to date."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana.all import DASHBOARDS

# The folder itself lies in the chart: grafana/dashboards is a link to it.
FOLDER = Path(__file__).parent / "dashboards"


def texts() -> dict[str, str]:
    """Return what is to be in each file, by its name."""
    encode = JSONEncoder(sort_keys=True, indent=1, ensure_ascii=False).encode
    return {f"{page.uid}.json": encode(page) + "\n" for page in DASHBOARDS}


def main(argv: list[str] | None = None) -> int:
    """Write the files and remove those of dashboards that are gone, or compare; return 1 when they differ."""
    parser = argparse.ArgumentParser(prog="python -m grafana", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 when it is out of date")
    check = parser.parse_args(argv).check
    wanted = texts()
    found = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    stale = sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))
    if check:
        for name in stale:
            print(f"grafana/dashboards/{name} is out of date: run make dashboards and commit it.", file=sys.stderr)
        return 1 if stale else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in found.keys() - wanted.keys():
        (FOLDER / name).unlink()
    for name in stale:
        if name in wanted:
            (FOLDER / name).write_text(wanted[name], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
