"""Corridors as SVG text: a panel a measure, bands of people and healthy captioners over log N."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

PANELS = {
    "distinct_captions": "distinct captions",
    "caption_entropy": "caption entropy",
    "distinct_2": "distinct-2",
    "self_bleu_4": "self-BLEU-4",
    "vocabulary": "vocabulary, words",
    "identification": "finds its own clip among 20",
}
ACROSS, WIDE, HIGH, LEFT, TOP = 3, 250, 170, 46, 66
STEP_X, STEP_Y = WIDE + 70, HIGH + 66
HEALTHY, PEOPLE, SYSTEM, COLLAPSED = "#cfe8cf", "#b9cdec", "#2a7d2a", "#c0392b"
Bands = Mapping[str, Sequence[Sequence[float]]]
Lines = Mapping[str, Mapping[str, Sequence[tuple[int, float]]]]


def draw(
    sizes: Sequence[int], table: Mapping[str, Bands], lines: Lines, collapsed: Sequence[str]
) -> str:
    """Draw the bands of each measure and a line for each system's mean."""
    rows = math.ceil(len(PANELS) / ACROSS)
    width, height = LEFT + ACROSS * STEP_X, TOP + rows * STEP_Y
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="15" font-weight="bold">Corridors: what healthy '
        "captioners and people reach at N captions</text>",
        f'<text x="{LEFT}" y="42" fill="#555">green band: healthy captioners and people; blue: '
        "people; green lines: captioners; red: a collapsed one</text>",
    ]
    for number, (name, title) in enumerate(PANELS.items()):
        x, y = LEFT + number % ACROSS * STEP_X, TOP + number // ACROSS * STEP_Y
        parts += _panel(
            *(x, y, title),
            sizes=sizes,
            bands=table[name],
            lines=_of(name, lines),
            collapsed=collapsed,
        )
    return "\n".join([*parts, "</svg>", ""])


def _of(name: str, lines: Lines) -> dict[str, Sequence[tuple[int, float]]]:
    return {who: measures[name] for who, measures in lines.items() if name in measures}


def _panel(
    left: int,
    top: int,
    title: str,
    *,
    sizes: Sequence[int],
    bands: Bands,
    lines: Mapping[str, Sequence[tuple[int, float]]],
    collapsed: Sequence[str],
) -> list[str]:
    highest = max(pair[1] for pair in bands["healthy"])
    scale = 1.0 if highest <= 1 else highest

    def place(size: float, value: float) -> str:
        across = math.log(size / sizes[0]) / math.log(sizes[-1] / sizes[0])
        return f"{left + across * WIDE:.1f},{top + HIGH * (1 - value / scale):.1f}"

    parts = [f'<text x="{left}" y="{top - 6}" font-weight="bold">{escape(title)}</text>']
    for group, colour in (("healthy", HEALTHY), ("people", PEOPLE)):
        upper = [place(size, pair[1]) for size, pair in zip(sizes, bands[group], strict=True)]
        lower = [place(size, pair[0]) for size, pair in zip(sizes, bands[group], strict=True)]
        parts.append(f'<polygon points="{" ".join([*upper, *lower[::-1]])}" fill="{colour}"/>')
    for who, points in lines.items():
        if not who.endswith("human"):
            colour = COLLAPSED if who in collapsed else SYSTEM
            path = " ".join(place(size, value) for size, value in points)
            parts.append(
                f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.4">'
                f"<title>{escape(who)}</title></polyline>"
            )
    for size in sizes[:-1]:
        x = place(size, 0).partition(",")[0]
        parts.append(f'<text x="{x}" y="{top + HIGH + 14}" text-anchor="middle">{size}</text>')
    for step in range(0, 5, 2):
        y, value = top + HIGH * (1 - step / 4), scale * step / 4
        shown = f"{value:.0f}" if scale > 1 else f"{value:.1f}"
        parts.append(
            f'<text x="{left - 5}" y="{y + 4}" text-anchor="end">{shown}</text>'
            f'<line x1="{left}" x2="{left + WIDE}" y1="{y}" y2="{y}" stroke="#ddd"/>'
        )
    return parts
