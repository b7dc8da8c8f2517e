"""A scatter plot as SVG text: two axes, the third as colour, every point named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, LEFT, TOP, PLOT_WIDTH, PLOT_HEIGHT = 1000, 620, 70, 60, 560, 500
LIST_LEFT, LINE = LEFT + PLOT_WIDTH + 60, 14
PALE, DEEP = (224, 214, 160), (20, 80, 140)  # colours of the lowest and the highest


@dataclass(frozen=True)
class Point:
    """A named point; ``shade`` decides its colour."""

    name: str
    x: float
    y: float
    shade: float


def draw(points: Sequence[Point], title: str, axes: tuple[str, str, str]) -> str:
    """Draw points with x in [0, 1] and y from 0; names stand in a list beside the plot."""
    top = max(0.5, max(point.y for point in points) * 1.08)
    low, high = (pick(point.shade for point in points) for pick in (min, max))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="28" font-size="15" font-weight="bold">{escape(title)}</text>',
        f'<text x="{LEFT}" y="46" fill="#555">colour: {escape(axes[2])}, {low:.2f} (pale) to '
        f"{high:.2f} (deep)</text>",
    ]
    parts += _frame(top, axes)
    ranked = sorted(points, key=lambda point: (-point.y, -point.x))
    for number, point in enumerate(ranked, 1):
        x = LEFT + point.x * PLOT_WIDTH
        y = TOP + PLOT_HEIGHT * (1 - max(0.0, point.y) / top)
        share = (point.shade - low) / (high - low) if high > low else 1.0
        mixed = (round(a + share * (b - a)) for a, b in zip(PALE, DEEP, strict=True))
        colour = f"rgb({','.join(map(str, mixed))})"
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{colour}" stroke="#333"/>'
            f'<text x="{x + 8:.1f}" y="{y + 4:.1f}" font-size="9">{number}</text>'
        )
        line = TOP + LINE * number
        parts.append(
            f'<circle cx="{LIST_LEFT}" cy="{line - 4}" r="4" fill="{colour}" stroke="#333"/>'
            f'<text x="{LIST_LEFT + 10}" y="{line}" font-size="10">{number} '
            f"{escape(point.name)}</text>"
        )
    return "\n".join([*parts, "</svg>", ""])


def _frame(top: float, axes: tuple[str, str, str]) -> list[str]:
    bottom = TOP + PLOT_HEIGHT
    parts = [
        f'<rect x="{LEFT}" y="{TOP}" width="{PLOT_WIDTH}" height="{PLOT_HEIGHT}" fill="none" '
        'stroke="#999"/>',
        f'<text x="{LEFT + PLOT_WIDTH / 2}" y="{bottom + 38}" text-anchor="middle">'
        f"{escape(axes[0])}</text>",
        f'<text transform="translate(22 {TOP + PLOT_HEIGHT / 2}) rotate(-90)" '
        f'text-anchor="middle">{escape(axes[1])}</text>',
    ]
    for step in range(6):
        x = LEFT + PLOT_WIDTH * step / 5
        y = bottom - PLOT_HEIGHT * step / 5
        parts += [
            f'<text x="{x}" y="{bottom + 16}" text-anchor="middle">{step / 5:.1f}</text>',
            f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{top * step / 5:.2f}</text>',
            f'<line x1="{LEFT}" x2="{LEFT + PLOT_WIDTH}" y1="{y}" y2="{y}" stroke="#eee"/>',
        ]
    return parts
