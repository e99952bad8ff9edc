"""Plots as SVG, written by hand: a bar chart, and a cumulated distribution over a logarithmic axis."""

from __future__ import annotations

import math
from html import escape

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 640, 320, 70, 50, 40
COLOURS = ("#1f5a99", "#c4572b", "#3b8754", "#7a4c99", "#8a7a1f")


def _text(x: float, y: float, text: str, anchor: str = "middle", size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str = "#bbbbbb", dash: str = "") -> str:
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"'
            f'{f" stroke-dasharray={chr(34)}{dash}{chr(34)}" if dash else ""}/>')


def _page(title: str, parts: list[str]) -> str:
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">'
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>{_text(WIDTH / 2, 22, title, size=15)}'
            + "".join(parts) + "</svg>\n")


def bars(title: str, unit: str, values: list[tuple[str, float]], mark: float | None = None) -> str:
    """One bar a value; mark: a line that is wanted."""
    most = max([v for _, v in values] + [mark or 0]) * 1.1 or 1
    height, step = HEIGHT - BOTTOM - TOP, (WIDTH - LEFT - 20) / max(len(values), 1)
    at = lambda v: HEIGHT - BOTTOM - v / most * height
    parts = [_line(LEFT, at(0), WIDTH - 20, at(0), "#333333"), _text(LEFT - 8, TOP + 4, unit, "end")]
    for n, (name, value) in enumerate(values):
        x = LEFT + n * step + step * 0.2
        parts.append(f'<rect x="{x:.1f}" y="{at(value):.1f}" width="{step * 0.6:.1f}" height="{at(0) - at(value):.1f}" '
                     f'fill="{COLOURS[n % len(COLOURS)]}"/>')
        parts += [_text(x + step * 0.3, at(value) - 5, f"{value:.3g}"), _text(x + step * 0.3, HEIGHT - BOTTOM + 18, name)]
    if mark is not None:
        parts += [_line(LEFT, at(mark), WIDTH - 20, at(mark), "#cc0000", "5 4"), _text(LEFT - 8, at(mark) + 4, f"{mark:g}", "end")]
    return _page(title, parts)


def shares(title: str, unit: str, curves: dict[str, dict]) -> str:
    """What share of all was at most so much: {name: {value: count}}."""
    most = max([float(v) for c in curves.values() for v in c] + [10])
    width, height = WIDTH - LEFT - 20, HEIGHT - BOTTOM - TOP
    decades = math.ceil(math.log10(most + 1))
    x = lambda v: LEFT + math.log10(float(v) + 1) / decades * width
    y = lambda share: HEIGHT - BOTTOM - share * height
    parts = [_text(LEFT + width / 2, HEIGHT - 8, unit)]
    for d in range(decades + 1):
        parts += [_line(x(10**d - 1), TOP, x(10**d - 1), y(0)), _text(x(10**d - 1), y(0) + 16, str(10**d - (d == 0)))]
    for share in (0, 0.5, 0.9, 0.99, 1):
        parts += [_line(LEFT, y(share), WIDTH - 20, y(share)), _text(LEFT - 8, y(share) + 4, f"{share:.0%}", "end", 10)]
    for n, (name, counts) in enumerate(curves.items()):
        total, have, points = sum(counts.values()) or 1, 0, []
        for value in sorted(counts, key=float):
            points.append(f"{x(value):.1f},{y(have / total):.1f}")
            have += counts[value]
            points.append(f"{x(value):.1f},{y(have / total):.1f}")
        colour = COLOURS[n % len(COLOURS)]
        parts += [f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="2"/>',
                  f'<g fill="{colour}">{_text(WIDTH - 30, y(0.45) + 16 * n, name, "end")}</g>']
    return _page(title, parts)
