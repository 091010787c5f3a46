"""The calculator of a month's cost: counts times prices, and a refusal where one is missing."""

from __future__ import annotations

from pathlib import Path

from tests.support import cli

PRICES = "currency: EUR\nhourly: {node: 0.1}\nmonthly: {key: 1}\n"


def cost(folder: Path, counts: str, prices: str = PRICES, *more: str) -> cli.Ended:
    (folder / "counts.yaml").write_text(counts)
    (folder / "prices.yaml").write_text(prices)
    files = ("--counts", str(folder / "counts.yaml"), "--prices", str(folder / "prices.yaml"))
    return cli.run("scripts.terraform", "cost", *files, *more)


def test_a_month_has_730_hours(tmp_path: Path) -> None:
    ended = cost(tmp_path, "{node: 3, key: 2}", PRICES, "--json")
    assert ended.code == 0, ended.err
    assert (ended.json["currency"], ended.json["monthly"]) == ("EUR", 221.0)


def test_it_says_what_is_not_in_it(tmp_path: Path) -> None:
    ended = cost(tmp_path, "{node: 1}")
    assert "73.00" in ended.out
    assert "traffic and what autoscalers add come on top" in ended.out


def test_what_has_no_price_is_named(tmp_path: Path) -> None:
    ended = cost(tmp_path, "{node: 1, topic: 1}")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert ended.err.startswith("There is no price for topic: write it")


def test_a_price_that_is_no_number_is_named(tmp_path: Path) -> None:
    ended = cost(tmp_path, "{node: 1}", "hourly: {node: cheap}")
    assert ended.code == 2
    assert "node is 'cheap', and must be a number" in ended.err


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    ended = cli.run(
        "scripts.terraform", "cost", "--prices", str(tmp_path / "none.yaml"), "--counts", str(tmp_path / "none.yaml")
    )
    assert ended.code == 2
    assert "none.yaml can't be read as YAML" in ended.err
