"""A metric over runs as SVG: pure functions. Colours come from the page's style."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 900, 320
LEFT, RIGHT, TOP, BOTTOM = 76, 16, 14, 46
"""Size of the drawing and its margins, in pixels."""
MOST_LABELS = 10


@dataclass(frozen=True)
class Point:
    """One run: its value, what is written below it and what it is called, where it leads, and whether it counts."""

    value: float
    label: str
    title: str
    link: str
    valid: bool = True


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Returns round numbers that go over a range.

    >>> ticks(0, 9)
    [0.0, 2.0, 4.0, 6.0, 8.0]
    """
    span = (high - low) or abs(high) or 1.0
    raw = span / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def as_svg(points: Sequence[Point], label: str, unit: str) -> str:
    """Returns a line with a point for each run, the oldest at the left. Each point leads to its run."""
    low, high = _range([point.value for point in points])
    places = [(_x(number, len(points)), _y(point.value, low, high)) for number, point in enumerate(points)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts = [
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="group" aria-label="{escape(label)}">',
        *_axis(low, high, unit),
        f'<polyline class="line" points="{line}"/>',
        *(_point(point, x, y) for point, (x, y) in zip(points, places, strict=True)),
        *_labels(points, places),
        "</svg>",
    ]
    return "\n".join(parts)


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    return low - margin, high + margin


def _x(number: int, count: int) -> float:
    inside = WIDTH - LEFT - RIGHT - 20
    return LEFT + 10 + inside * (number / (count - 1) if count > 1 else 0.5)


def _y(value: float, low: float, high: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - (value - low) / (high - low))


def _axis(low: float, high: float, unit: str) -> list[str]:
    parts = []
    for value in ticks(low, high):
        y = _y(value, low, high)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:.6g}</text>')
    middle = (HEIGHT - BOTTOM) / 2
    parts.append(f'<text transform="translate(20 {middle}) rotate(-90)" text-anchor="middle">{escape(unit)}</text>')
    return parts


def _point(point: Point, x: float, y: float) -> str:
    kind = "point" if point.valid else "point invalid"
    title = escape(point.title)
    return (
        f'<a href="{escape(point.link)}" aria-label="{title}"><circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="4.5">'
        f"<title>{title}</title></circle></a>"
    )


def _labels(points: Sequence[Point], places: Sequence[tuple[float, float]]) -> list[str]:
    every = math.ceil(len(points) / MOST_LABELS)
    y = HEIGHT - BOTTOM + 18
    parts = [
        f'<text x="{x:.1f}" y="{y}" text-anchor="middle">{escape(point.label[:12])}</text>'
        for point, (x, _) in list(zip(points, places, strict=True))[::every]
    ]
    return [*parts, f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 6}" text-anchor="middle">acquisition run</text>']
