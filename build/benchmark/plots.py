"""Plots as inline SVG: three kinds, drawn by hand, for a page that has no other file and no script.

matplotlib would weigh more than the whole environment of `fab`, for three kinds of plot.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 60, 28, 14, 46
COLOURS = ("#0b62a4", "#c1440e", "#2a7f3f", "#7a4fa3", "#946c00", "#4a4a4a", "#b0306a", "#007c80")
"""Apart from each other in grey too, and told apart by dashes."""
DASHES = ("", "7 3", "2 3", "9 3 2 3")

Line = Sequence[tuple[float, float]]


def ticks(most: float, count: int = 5) -> list[float]:
    """Round numbers from 0 to the first one at or above `most`."""
    if most <= 0:
        return [0.0, 1.0]
    rough = most / count
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough * (1 - 1e-9))
    return [step * index for index in range(math.ceil(most / step - 1e-9) + 1)]


def number(value: float) -> str:
    """Three digits that matter, without an exponent."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


class Axes:
    """From values to places on the paper."""

    def __init__(self, most_x: float, most_y: float) -> None:
        self.x_ticks, self.y_ticks = ticks(most_x), ticks(most_y)

    def x(self, value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * value / self.x_ticks[-1]

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / self.y_ticks[-1]

    def drawn(self, x_title: str, y_title: str) -> list[str]:
        """The grid, its numbers and the titles."""
        bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
        parts = []
        for value in self.y_ticks:
            y = self.y(value)
            parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" class="grid"/>')
            parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{number(value)}</text>')
        parts += [
            f'<text x="{self.x(value):.1f}" y="{bottom + 16}" text-anchor="middle">{number(value)}</text>'
            for value in self.x_ticks
        ]
        middle = (LEFT + right) / 2
        parts.append(f'<text x="{middle:.0f}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x_title)}</text>')
        turned = f'transform="translate(14 {(TOP + bottom) / 2:.0f}) rotate(-90)"'
        parts.append(f'<text {turned} text-anchor="middle">{escape(y_title)}</text>')
        return parts


def framed(parts: Sequence[str], title: str, height: int = HEIGHT) -> str:
    """One figure; its title is what a reader of screens says."""
    head = f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">'
    return "\n".join([head, f"<title>{escape(title)}</title>", *parts, "</svg>"])


def lines(title: str, x_title: str, y_title: str, series: Mapping[str, Line], *, has_points: bool = True) -> str:
    """Lines over an axis that begins at 0, with their names below."""
    points = [point for line in series.values() for point in line]
    axes = Axes(max((x for x, _ in points), default=1.0), max((y for _, y in points), default=1.0))
    parts = axes.drawn(x_title, y_title)
    for index, (name, line) in enumerate(series.items()):
        colour, dash = COLOURS[index % len(COLOURS)], DASHES[index // 2 % len(DASHES)]
        path = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in line)
        style = f'fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"'
        parts.append(f'<polyline points="{path}" {style}/>')
        if has_points:
            parts += [f'<circle cx="{axes.x(x):.1f}" cy="{axes.y(y):.1f}" r="3" fill="{colour}"/>' for x, y in line]
        y = HEIGHT + 8 + 18 * index
        parts.append(f'<line x1="{LEFT}" y1="{y}" x2="{LEFT + 28}" y2="{y}" {style}/>')
        parts.append(f'<text x="{LEFT + 36}" y="{y + 4}">{escape(name)}</text>')
    return framed(parts, title, HEIGHT + 8 + 18 * len(series))


def distribution(title: str, x_title: str, series: Mapping[str, Sequence[float]]) -> str:
    """The share of samples at or below each value: nothing is binned, nothing smoothed."""
    curves: dict[str, Line] = {}
    for name, values in series.items():
        ordered = sorted(values)
        shares = [100 * index / len(ordered) for index in range(len(ordered) + 1)]
        pairs = zip(ordered, itertools.pairwise(shares), strict=True)
        steps = [point for value, (below, upto) in pairs for point in ((value, below), (value, upto))]
        curves[name] = steps
    return lines(title, x_title, "% of samples", curves, has_points=False)


def bars(title: str, x_title: str, rows: Mapping[str, Sequence[tuple[str, float]]]) -> str:
    """Groups of bars that lie, each with its number: readable on a phone."""
    most = ticks(max((value for group in rows.values() for _, value in group), default=1.0))[-1]
    parts: list[str] = []
    y = TOP
    for name, group in rows.items():
        parts.append(f'<text x="8" y="{y + 10}" class="strong">{escape(name)}</text>')
        y += 18
        for index, (what, value) in enumerate(group):
            width = (WIDTH - 260) * value / most
            parts.append(f'<text x="140" y="{y + 12}" text-anchor="end">{escape(what)}</text>')
            bar = f'x="148" y="{y}" width="{width:.1f}" height="16" fill="{COLOURS[index % len(COLOURS)]}"'
            parts.append(f'<rect {bar}/><text x="{154 + width:.1f}" y="{y + 12}">{number(value)}</text>')
            y += 20
        y += 8
    parts.append(f'<text x="148" y="{y + 10}">{escape(x_title)}</text>')
    return framed(parts, title, y + 20)
