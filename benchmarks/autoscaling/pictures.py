"""Pictures as SVG, written by hand: a plotting library would be the heaviest package of `make venv`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH = 900
MARGIN = {"left": 55, "right": 20, "top": 38, "bottom": 42}
PLOT_HEIGHT = 190
# Told apart also by those who see no red or green, and by their dashes in print.
COLOURS = {"list-length": "#b35900", "counting": "#0550ae", "latency": "#116329"}
DASHES = {"list-length": "", "counting": "", "latency": "7 3"}
NEED = "#d0d7de"

Steps = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axis:
    """A scale from data to pixels with a mark at every `tick`."""

    low: float
    high: float
    start: float
    end: float
    tick: float

    def __call__(self, value: float) -> float:
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 1)

    def ticks(self) -> list[float]:
        """Return the marks."""
        return [number * self.tick for number in range(int(self.high / self.tick + 1e-9) + 1)]


def coarse(steps: Steps, seconds: float, buckets: int = 400) -> list[tuple[float, float]]:
    """Return the mean of each bucket of time: a picture has no room for every second."""
    width, sums = seconds / buckets, [0.0] * buckets
    ends = [at for at, _ in steps[1:]] + [seconds]
    for (at, value), end in zip(steps, ends, strict=True):
        at, end = min(at, seconds), min(end, seconds)
        while at < end:
            bucket = min(buckets - 1, int(at / width + 1e-9))
            until = min(end, max((bucket + 1) * width, at + 1e-6))
            sums[bucket] += (until - at) * value
            at = until
    return [(number * width, total / width) for number, total in enumerate(sums)]


def tick(high: float, about: int = 6) -> float:
    """Return a round distance that makes about so many marks."""
    rough = high / about
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= rough)


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x}" y="{y}" {more}>{escape(text)}</text>'


def _axes(x: Axis, y: Axis, labels: tuple[str, str]) -> list[str]:
    parts = [
        f'<line x1="{x.start}" x2="{x.end}" y1="{y(mark)}" y2="{y(mark)}" stroke="#eaeef2"/>'
        + _text(x.start - 8, y(mark) + 4, f"{mark:g}", 'text-anchor="end"')
        for mark in y.ticks()
    ]
    parts += [_text(x(mark), y.start + 18, f"{mark:g}", 'text-anchor="middle"') for mark in x.ticks()]
    parts.append(_text((x.start + x.end) / 2, y.start + 36, labels[0], 'text-anchor="middle"'))
    parts.append(_text(x.start - 40, y.end - 10, labels[1]))
    return parts


def _line(steps: Steps, x: Axis, y: Axis, until: float) -> str:
    """Return the path of a step function that begins at 0."""
    inside = [(x(at), y(value)) for at, value in steps if at <= until]
    return f"M{inside[0][0]} {inside[0][1]}" + "".join(f"H{at}V{value}" for at, value in inside[1:]) + f"H{x(until)}"


def _legend(names: Iterable[str], extra: tuple[str, str], y: float) -> list[str]:
    at = 330.0
    parts = [f'<rect x="{at}" y="{y - 10}" width="22" height="10" fill="{extra[1]}"/>', _text(at + 28, y, extra[0])]
    at += 45 + 7 * len(extra[0])
    for name in names:
        parts.append(f'<path d="M{at} {y - 4}h22" {_stroke(name)}/>' + _text(at + 28, y, name))
        at += 45 + 7 * len(name)
    return parts


def _stroke(name: str) -> str:
    return f'fill="none" stroke="{COLOURS[name]}" stroke-width="1.8" stroke-dasharray="{DASHES[name]}"'


def _document(height: float, title: str, parts: Iterable[str]) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            'font-family="Helvetica, Arial, sans-serif" font-size="12" fill="#24292f" role="img">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            *parts,
            "</svg>",
            "",
        ]
    )


def timelines(panels: Sequence[tuple[str, float, Steps, Mapping[str, Steps]]]) -> str:
    """Return pods over time, a panel for each (title, seconds, the oracle's steps, each policy's steps)."""
    parts, top = [], 0.0
    for title, seconds, need, lines in panels:
        need = coarse(need, seconds)
        high = max(value for steps in (need, *lines.values()) for at, value in steps if at <= seconds)
        start = top + MARGIN["top"] + PLOT_HEIGHT
        x = Axis(0, seconds, MARGIN["left"], WIDTH - MARGIN["right"], tick(seconds, 8))
        step = max(1, tick(high))
        y = Axis(0, math.ceil(high / step) * step, start, start - PLOT_HEIGHT, step)
        parts += _axes(x, y, ("seconds", ""))
        parts.append(_text(MARGIN["left"], top + 20, title, 'font-size="14" font-weight="bold"'))
        parts += _legend(lines, ("pods that the oracle has", NEED), top + 20)
        area = _line([(0.0, 0.0), *need, (seconds, 0.0)], x, y, seconds)
        parts.append(f'<path d="{area}Z" fill="{NEED}"/>')
        parts += [f'<path d="{_line(steps, x, y, seconds)}" {_stroke(name)}/>' for name, steps in lines.items()]
        top = start + MARGIN["bottom"]
    return _document(top, "Pods over time under each policy", parts)


def front(points: Sequence[tuple[str, float, float, bool]], labels: tuple[str, str]) -> str:
    """Return points (policy, x, y, on the front) with the fronts joined."""
    height = 380
    x_high, y_high = max(one[1] for one in points) * 1.05, max(one[2] for one in points) * 1.05
    x = Axis(0, x_high, MARGIN["left"], WIDTH - MARGIN["right"], tick(x_high))
    y = Axis(0, y_high, height - MARGIN["bottom"], MARGIN["top"] + 10, tick(y_high))
    parts = _axes(x, y, labels)
    for name in dict.fromkeys(one[0] for one in points):
        mine = [one for one in points if one[0] == name]
        parts += [
            f'<circle cx="{x(a)}" cy="{y(b)}" r="2" fill="{COLOURS[name]}" opacity="0.35"/>' for _, a, b, _ in mine
        ]
        best = "L".join(f"{x(a)} {y(b)}" for _, a, b, is_best in mine if is_best)
        parts.append(f'<path d="M{best}" {_stroke(name)}/>')
    parts += _legend(dict.fromkeys(one[0] for one in points), ("a setting", NEED), 20)
    return _document(height, "Cost and waiting of each setting", parts)
