"""A dashboard and what its queries returned -> SVG, for the documents: what Grafana shows, without Grafana."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from grafana.ask import Series

# Pixels of a cell of Grafana's grid, of the space between panels, and of what stands around a graph.
WIDE, HIGH, GAP = 50, 34, 8
TITLE, AXIS, FOOT, LINE = 26, 62, 20, 16
# Pixels of a letter of 12 pixels; letters differ, so texts are cut a little early.
LETTER = 6.6
# Lines of a legend; a panel has no room for more.
LEGEND = 10

COLOURS = {"red": "#e02f44", "orange": "#ff9830", "green": "#56a64b", "blue": "#3274d9"}
PALETTE = ("#3274d9", "#ff9830", "#56a64b", "#a352cc", "#37b7c3", "#b8860b", "#e667af", "#7f8c8d", "#8b4513", "#1f60c4")
STYLE = "text{font-family:Helvetica,Arial,sans-serif;font-size:12px;fill:#24292e}"

Found = Mapping[int, Sequence[Sequence[Series]]]


def draw(dashboard: Mapping[str, Any], found: Found) -> str:
    """Return the picture. found: by the panel's number the series of each query."""
    panels = dashboard["panels"]
    height = max(one["gridPos"]["y"] + one["gridPos"]["h"] for one in panels) * HIGH + 40
    body = [_text(GAP, 26, dashboard["title"], 18)]
    for panel in panels:
        grid = panel["gridPos"]
        inner = _row(panel) if panel["type"] == "row" else _panel(panel, found.get(panel["id"], ()))
        body.append(f'<g transform="translate({grid["x"] * WIDE},{grid["y"] * HIGH + 40})">{"".join(inner)}</g>')
    size = f'width="{24 * WIDE}" height="{height}" viewBox="0 0 {24 * WIDE} {height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{STYLE}</style>'
    return f'{head}<rect width="100%" height="100%" fill="#f4f5f5"/>{"".join(body)}</svg>\n'


def _row(panel: Mapping[str, Any]) -> list[str]:
    return [_text(GAP, HIGH - 10, panel["title"], 15)]


def _panel(panel: Mapping[str, Any], found: Sequence[Sequence[Series]]) -> list[str]:
    width, height = panel["gridPos"]["w"] * WIDE - GAP, panel["gridPos"]["h"] * HIGH - GAP
    frame = f'<rect width="{width}" height="{height}" rx="3" fill="#fff" stroke="#d8d9da"/>'
    body = [frame, _text(GAP, 18, _cut(panel["title"], width - 2 * GAP), 13, weight="bold")]
    if not any(found):
        return [*body, _text(GAP, TITLE + LINE, _cut(_missing(panel), width - 2 * GAP), colour="#8e8e8e")]
    kind = {"stat": _number, "timeseries": _graph, "table": _table}[panel["type"]]
    return [*body, *kind(panel, found, width, height)]


def _missing(panel: Mapping[str, Any]) -> str:
    source = re.search(r"Source: (.+?)\.", panel["description"])
    return f"Not on this machine: {source[1]}" if source else "No data"


def _number(panel: Mapping[str, Any], found: Sequence[Sequence[Series]], width: float, height: float) -> list[str]:
    value, defaults = found[0][0].points[-1][1], panel["fieldConfig"]["defaults"]
    colour, text = _colour(defaults["thresholds"], value), written(value, defaults["unit"])
    for mapping in defaults.get("mappings", ()):
        shown = mapping["options"].get(f"{value:g}")
        if shown:
            text, colour = shown["text"], shown["color"]
    filled = panel["options"]["colorMode"] == "background"
    box = f'<rect y="{TITLE}" width="{width}" height="{height - TITLE}" fill="{COLOURS[colour]}"/>' if filled else ""
    size = min(32, int(1.5 * (width - 2 * GAP) / max(1, len(text))))
    ink = "#fff" if filled else COLOURS[colour]
    return [box, _text(width / 2, TITLE + (height - TITLE) / 2 + 12, text, size, ink, "middle", "bold")]


def _graph(panel: Mapping[str, Any], found: Sequence[Sequence[Series]], width: float, height: float) -> list[str]:
    defaults, limits = panel["fieldConfig"]["defaults"], _limits(panel)
    lines = [(one, place in limits) for place, series in enumerate(found) for one in series]
    lines.sort(key=lambda line: line[0].name)
    beside = panel["options"]["legend"]["placement"] == "right"
    legend = min(width * 0.36, max(len(one.name) for one, _ in lines) * LETTER + 110) if beside else width - AXIS
    below = 0 if beside else min(len(lines), LEGEND) * LINE
    steps = [step["value"] for step in defaults["thresholds"]["steps"] if step["value"] is not None]
    points = [point for one, _ in lines for point in one.points if math.isfinite(point[1])]
    top = max([value for _, value in points] + [defaults["custom"].get("axisSoftMax") or 0])
    # Long times are read in minutes, bytes in powers of 1024.
    scale = 60 if defaults["unit"] == "s" and top >= 120 else 1
    if defaults["unit"] == "bytes":
        scale = 1024 ** int(math.log(max(top, 1), 1024))
    marks = [mark * scale for mark in ticks(top / scale)]
    start, end, top = min(at for at, _ in points), max(at for at, _ in points), marks[-1]
    right, low = width - GAP - (legend if beside else 0), height - FOOT - below

    def x(at: float) -> float:
        return AXIS + (at - start) / max(end - start, 1) * (right - AXIS)

    def y(value: float) -> float:
        return low - value / top * (low - TITLE - 8)

    body = [_line(AXIS, y(mark), right, y(mark), "#e4e5e6") for mark in marks]
    body += [_text(AXIS - 6, y(mark) + 4, written(mark, defaults["unit"]), 11, "#555", "end") for mark in marks]
    body += [
        _text(x(at), low + 15, f"{at - start:.0f} s", 11, "#555", "middle") for at in (start, (start + end) / 2, end)
    ]
    if panel["fieldConfig"]["defaults"]["custom"]["thresholdsStyle"]["mode"] == "line":
        body += [_line(AXIS, y(step), right, y(step), COLOURS["red"]) for step in steps if step <= top]
    for place, (one, limit) in enumerate(lines):
        colour = COLOURS["red"] if limit else PALETTE[place % len(PALETTE)]
        body.append(_path(one.points, x, y, colour, limit))
        if place < LEGEND:
            corner = (right + 2 * GAP, TITLE + 10) if beside else (AXIS, low + FOOT + 10)
            body += _entry(one, colour, corner[0], corner[1] + place * LINE, legend, defaults["unit"])
    return body


def _entry(one: Series, colour: str, x: float, y: float, width: float, unit: str) -> list[str]:
    value = written(one.points[-1][1], unit)
    room = width - 3 * GAP - 14 - len(value) * LETTER
    mark = f'<rect x="{x}" y="{y - 6}" width="10" height="4" fill="{colour}"/>'
    return [mark, _text(x + 14, y, _cut(one.name, room), 11), _text(x + width - 3 * GAP, y, value, 11, "#555", "end")]


def _table(panel: Mapping[str, Any], found: Sequence[Sequence[Series]], width: float, height: float) -> list[str]:
    # The names of columns are those of their queries; a query's labels name the rows.
    names = [target["legendFormat"] for target in panel["targets"]]
    cells = [{tuple(one.labels.values()): one.points[-1][1] for one in series} for series in found]
    styles = {
        one["matcher"]["options"]: {part["id"]: part["value"] for part in one["properties"]}
        for one in panel["fieldConfig"]["overrides"]
    }
    step = width / (len(names) + 1)
    body = [_text(GAP + (place + 1) * step, TITLE + 14, name, weight="bold") for place, name in enumerate(names)]
    for number, key in enumerate(sorted({key for column in cells for key in column})):
        y = TITLE + 38 + number * 26
        body += [_line(0, y - 17, width, y - 17, "#e4e5e6"), _text(GAP, y, " ".join(key))]
        for place, (name, column) in enumerate(zip(names, cells, strict=True)):
            if key in column:
                body += _cell(GAP + (place + 1) * step, y, step, column[key], styles[name])
    return body


def _cell(x: float, y: float, width: float, value: float, style: Mapping[str, Any]) -> list[str]:
    text = written(value, style["unit"])
    for mapping in style.get("mappings", ()):
        text = mapping["options"].get(f"{value:g}", {}).get("text", text)
    if style["custom.cellOptions"]["type"] == "auto":
        return [_text(x, y, text)]
    colour = COLOURS[_colour(style["thresholds"], value)]
    box = f'<rect x="{x - GAP / 2}" y="{y - 16}" width="{width - GAP}" height="24" fill="{colour}"/>'
    return [box, _text(x, y, text, colour="#fff")]


def _limits(panel: Mapping[str, Any]) -> set[int]:
    """Return the places of the queries that are drawn dashed."""
    refs = [one["matcher"]["options"] for one in panel["fieldConfig"]["overrides"]]
    return {place for place, target in enumerate(panel["targets"]) if target["refId"] in refs}


def _colour(thresholds: Mapping[str, Any], value: float) -> str:
    steps = thresholds["steps"]
    return str([step["color"] for step in steps if step["value"] is None or value >= step["value"]][-1])


def ticks(top: float) -> list[float]:
    """Return three to six round numbers from 0 to at least `top`."""
    if not top > 0:
        return [0, 0.5, 1]
    step = 10 ** math.floor(math.log10(top))
    step = next(part * step for part in (0.2, 0.5, 1, 2) if top / (part * step) <= 5)
    return [number * step for number in range(math.ceil(top / step - 1e-9) + 1)]


def written(value: float, unit: str) -> str:
    """Return a number as Grafana writes it with one of the units that there are here."""
    if not math.isfinite(value):
        return "-"
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "s":
        return _scaled(value, ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"), (1e-3, "ms"), (1e-6, "µs")), "s")
    if unit == "bytes":
        return _scaled(value, ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B")), "B")
    short = _scaled(value, ((1e6, "M"), (1e3, "K"), (1, "")), "") if abs(value) >= 1000 else f"{value:.3g}"
    return short + unit.removeprefix("suffix:") if unit.startswith("suffix:") else short


def _scaled(value: float, scales: Sequence[tuple[float, str]], least: str) -> str:
    for size, name in scales:
        if abs(value) >= size:
            return f"{value / size:.3g} {name}".rstrip()
    return f"0 {least}".rstrip()


def _path(
    points: Sequence[tuple[float, float]],
    x: Callable[[float], float],
    y: Callable[[float], float],
    colour: str,
    limit: bool,
) -> str:
    finite = [(at, value) for at, value in points if math.isfinite(value)]
    way = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in finite)
    dash = ' stroke-dasharray="8 6"' if limit else ""
    return f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="1.8"{dash}/>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _text(
    x: float, y: float, text: str, size: int = 12, colour: str = "", anchor: str = "start", weight: str = "normal"
) -> str:
    style = f"font-size:{size}px;font-weight:{weight}" + (f";fill:{colour}" if colour else "")
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" style="{style}">{escape(text)}</text>'


def _cut(text: str, width: float) -> str:
    letters = max(4, int(width / LETTER))
    return text if len(text) <= letters else f"{text[: letters - 1]}…"
