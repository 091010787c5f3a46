"""Report tasks: a bar chart as SVG, for a page that loads nothing."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

WIDTH, HEIGHT, FOOT = 720, 260, 28


def bars(values: Mapping[str, float], title: str) -> str:
    """Return an SVG with one bar per label, its height in proportion to the value (0 or more)."""
    top = max(values.values(), default=0) or 1
    step = WIDTH / max(len(values), 1)
    drawn = [
        _bar(label, value, x=number * step, step=step, height=value / top * (HEIGHT - 2 * FOOT))
        for number, (label, value) in enumerate(values.items())
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
        f"<title>{escape(title)}</title>{''.join(drawn)}</svg>"
    )


def _bar(label: str, value: float, *, x: float, step: float, height: float) -> str:
    y = HEIGHT - FOOT - height
    middle = x + step / 2
    text = 'font-size="11" font-family="sans-serif" text-anchor="middle"'
    return (
        f'<rect x="{x + step * 0.1:.1f}" y="{y:.1f}" width="{step * 0.8:.1f}" height="{height:.1f}" fill="#2b6cb0">'
        f"<title>{escape(label)}: {value:.2f}</title></rect>"
        f'<text x="{middle:.1f}" y="{y - 4:.1f}" {text}>{value:.2f}</text>'
        f'<text x="{middle:.1f}" y="{HEIGHT - 10}" {text}>{escape(label)}</text>'
    )
