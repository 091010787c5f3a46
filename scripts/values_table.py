"""`make docs`: a table of each chart's values, made of its values.yaml; `--check` says whether they are up to date."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from scripts import generated
from scripts.versions import ROOT

DOCS = ROOT / "docs"
# Each document and its chart.
TABLES = {"values.md": "celery", "values-monitoring.md": "monitoring"}
HEAD = "<!-- Generated from helm/{chart}/values.yaml by `make docs`. -->\n# The values of helm/{chart}\n\n"
GENERAL = "others"
COLUMNS = ("| value | default | what it does |", "| --- | --- | --- |")


@dataclass(frozen=True)
class Value:
    """A key of values.yaml: its path, its default (None for one above others), and the comment before it."""

    path: tuple[str, ...]
    default: str | None
    comment: str


def values(text: str) -> Iterator[Value]:
    """Yield the keys of a values file in its order. A mapping in braces is one value."""
    lines = text.splitlines()

    def walk(node: yaml.MappingNode, path: tuple[str, ...]) -> Iterator[Value]:
        for key, value in node.value:
            here = (*path, key.value)
            # The table shows the name already.
            comment = _comment(lines, key.start_mark.line).removeprefix(f"{key.value}: ")
            if isinstance(value, yaml.MappingNode) and not value.flow_style:
                yield Value(here, None, comment)
                yield from walk(value, here)
            else:
                yield Value(here, yaml.serialize(_inline(value)).removesuffix("...\n").strip(), comment)

    root = yaml.compose(text, yaml.SafeLoader)
    return walk(root, ()) if isinstance(root, yaml.MappingNode) else iter(())


def _inline(node: yaml.Node) -> yaml.Node:
    if isinstance(node, yaml.CollectionNode):
        node.flow_style = True
        for child in node.value:
            for part in child if isinstance(child, tuple) else (child,):
                _inline(part)
    return node


def _comment(lines: list[str], number: int) -> str:
    """Return the comment that ends just before a line."""
    found: list[str] = []
    while number and lines[number - 1].lstrip().startswith("#"):
        number -= 1
        found.insert(0, lines[number].lstrip().removeprefix("#").strip())
    return " ".join(found)


def table(text: str, chart: str) -> str:
    """Return the document in Markdown: a section for each component, a row for each value."""
    sections: dict[str, str] = {}
    rows: dict[str, list[str]] = {GENERAL: []}
    for value in values(text):
        name, *below = value.path
        if value.default is None and not below:
            sections[name] = value.comment
            rows[name] = []
        elif value.default is not None or value.comment:
            default = "" if value.default is None else f"`{_cell(value.default)}`"
            row = f"| `{'.'.join(value.path)}` | {default} | {_cell(value.comment)} |"
            rows[name if below else GENERAL].append(row)
    texts = (
        "\n\n".join(part for part in (f"## {name}", sections.get(name), "\n".join([*COLUMNS, *rows[name]])) if part)
        for name in [*sections, GENERAL]
    )
    return HEAD.format(chart=chart) + "\n\n".join(texts) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def main(argv: list[str] | None = None) -> int:
    """Write the documents, or compare them; return 1 when one differs."""
    check = generated.checks(argv, "python -m scripts.values_table", __doc__)
    charts = {chart: (ROOT / "helm" / chart / "values.yaml").read_text(encoding="utf-8") for chart in TABLES.values()}
    wanted = {name: table(charts[chart], chart) for name, chart in TABLES.items()}
    sentence = "docs/{name} is out of date: run make docs and commit what it writes."
    return generated.settle(check, DOCS, wanted, sentence)


if __name__ == "__main__":
    sys.exit(main())
