"""What a document says can be done: its commands are there with their variables, its paths and links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support import documents

PAGES = documents.pages()
README = ROOT / "README.md"
of_each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def test_all_pages_are_looked_at() -> None:
    assert {README, ROOT / "docs" / "laptop.md", ROOT / "tests" / "kind" / "README.md"} <= set(PAGES)
    assert len(list(documents.commands(read(README)))) > 100


@of_each_page
def test_every_make_target_exists_and_reads_the_variables_that_it_is_given(page: Path) -> None:
    assert documents.wrong_make(read(page)) == []


@of_each_page
def test_every_variable_is_read_by_something(page: Path) -> None:
    assert documents.wrong_variables(read(page)) == []


@of_each_page
def test_every_module_can_be_run(page: Path) -> None:
    assert documents.wrong_modules(read(page)) == []


@of_each_page
def test_every_path_exists(page: Path) -> None:
    assert documents.wrong_paths(read(page)) == []


@of_each_page
def test_every_link_leads_somewhere_and_every_anchor_is_a_heading(page: Path) -> None:
    assert documents.wrong_links(page, read(page)) == []


@pytest.mark.parametrize("target", documents.TARGETS)
def test_a_target_reads_the_variables_that_its_help_names(target: str) -> None:
    (told,) = re.findall(rf"^{target}:.*## (.*)$", documents.MAKEFILE, re.MULTILINE)
    names = re.findall(r"\b([A-Z_]+)=", told)
    assert [name for name in names if not documents.reads(target, name)] == []


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("`make compose-start`", ["make compose-start: no such target"]),
        ("```sh\nmake cluster-up && make status ENVIRONMENT=kind | less\n```", ["ENVIRONMENT of make status"]),
        ("`make status PURGE=1`", ["PURGE of make status"]),
        ("`STACK_PORT=1 make up`", ["STACK_PORT of make up"]),
        ("```\nmake tf-apply \\\n  ENV=aws NAMESPACE=name  # as asked\n```", ["NAMESPACE of make tf-apply"]),
        ("A make of status; `STACK_API_PORT=1 make up`, `X=$(make send N=5 ARGS='--json' | sed p)`", []),
    ],
)
def test_a_wrong_call_of_make_is_seen(line: str, wrong: list[str]) -> None:
    assert documents.wrong_make(line) == wrong


def test_other_wrong_claims_are_seen() -> None:
    assert documents.wrong_variables("`YES=1`, `YEAH=1`") == ["YEAH"]
    assert documents.wrong_modules("`python -m\nscripts.stack up`, `python -m scripts.stock`, `python -m pytest`") == [
        "scripts.stock"
    ]
    # Its folder is there, and it is no program.
    assert documents.wrong_modules("`python -m app.runtime`") == ["app.runtime"]
    assert documents.wrong_paths("In docs/laptop.md, `docs/desktop.md` and https://example.com/docs/x.md") == [
        "docs/desktop.md"
    ]
    text = "# One `thing`, two\n\n[a](#one-thing-two) [b](#one) [c](docs/laptop.md) [d](docs/laptop.md#x) [e](x.md)\n"
    assert documents.wrong_links(ROOT / "none.md", text) == ["#one", "docs/laptop.md#x", "x.md"]
