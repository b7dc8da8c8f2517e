"""Write docs/away-from-home.md from the result file of the foreign captioners.

python -m benchmarks.pages.foreign_docs
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.result_files import read_result

PAGE = Path(__file__).parents[2] / "docs" / "away-from-home.md"
INTRODUCTION = """# Away from home

How often `capfix diagnose` is right on captioners in other people's habits: six architectures,
worlds of equally long and of very uneven clips, and every kind of fault
(`benchmarks/zoo/foreign`), each diagnosed as a user would: a checkpoint, an adapter, a folder,
references, training captions and training audio. Shares have Wilson's 95 % interval. A fault that
leaves the captions as good as those of the sound captioner is counted apart.

On `conv-pool` and `cells` kinds of evidence were mended, and confidences are set on them; the four
other architectures are held out from both. Which state of the code the answers are of stands with
each table: not all were made anew after the last change.

```
make zoo                                    the small form
python -m benchmarks.accuracy.foreign --work FOLDER --esc10 PATH/TO/ESC-10      all of it
```
"""
# Result, title, what it is of.
PARTS = (
    (
        "accuracy/foreign",
        "Tuned on: conv-pool and cells, equally long clips",
        "Every kind of fault. Kinds of evidence were mended after these.",
    ),
    (
        "accuracy/foreign-uneven",
        "Tuned on, another world: conv-pool and cells, very uneven clips",
        "Confidences are set on these.",
    ),
    (
        "accuracy/foreign-held-out",
        "Held out: four other architectures",
        "No threshold and no confidence was set by these. They were watched while they ran: a wrong"
        " cause that was seen here led to a wider search for front ends, and seven kinds were run"
        " again after it.",
    ),
    (
        "accuracy/foreign-esc10",
        "Recordings of ESC-10",
        "Real sounds, conv-pool and cells, a few kinds of fault. Confidences are set on these too.",
    ),
    (
        "accuracy/foreign-without-references",
        "Without references",
        "The same captioners, and nobody says what is right.",
    ),
)
COLUMNS = ("first", "among two", "wrong with confidence .5", "lost_at")
HEADS = ("right first", "among two", "wrong, .5 sure or more", "place right where unknown")


def _cell(found: Mapping[str, Any]) -> str:
    if not found["of"]:
        return ""
    return f"{found['right']} of {found['of']} ({found['low']:.2f} to {found['high']:.2f})"


def _table(groups: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [f"| | {' | '.join(HEADS)} |", f"|---|{'---|' * len(HEADS)}"]
    for name, group in groups.items():
        cells = [_cell(group[column]) for column in COLUMNS]
        if any(cells):
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _part(name: str, title: str, told: str) -> list[str]:
    """Give a part of the page; nothing where it was not run."""
    try:
        result = read_result(name)
    except FileNotFoundError:
        return []
    figures = result["figures"]
    every = figures["all"]
    lines = [
        f"\n## {title}\n",
        f"{told} Summed up on {result['date']} at commit `{result['commit'] or 'unknown'}`, from"
        f" answers of {len(figures['codes'])} state(s) of the code (digest"
        f" {', '.join(f'`{code}`' for code in figures['codes'])}), which may be older:"
        f" {len(figures['sound captioners'])} sound captioners, {every['first']['of']} faulty"
        f" ones, and {len(figures['harmless']['jobs'])} whose fault did no harm.\n",
        _table({"all": every}),
        "",
        f"- Sound captioners without a false proved cause: "
        f"{_cell(every['sound without a proved cause'])}; called healthy: "
        f"{_cell(every['sound called healthy'])}.",
        f"- Refused: {every['refused']}; crashed: {every['crashed']}.",
    ]
    for by in ("kind", "architecture", "world"):
        if len(figures[f"by {by}"]) > 1:
            lines += [f"\n### {title}: by {by}\n", _table(figures[f"by {by}"])]
    return lines


def _confidence() -> list[str]:
    """Give the part on how sure answers may be."""
    try:
        result = read_result("accuracy/confidence")
    except FileNotFoundError:
        return []
    figures = result["figures"]
    lines = [
        "\n## How sure, and how often right\n",
        "Confidence is the share of right answers of the same ground, measured on conv-pool and"
        " cells with one right and one wrong answer added"
        " (`python -m benchmarks.calibration.confidence`). What is looked at below is held out:"
        " answers about a kind of fault get the confidence that all *other* kinds give. Summed up"
        f" on {result['date']} at commit `{result['commit'] or 'unknown'}`:"
        f" {figures['answers']['tuned']} causes named on the tuned architectures,"
        f" {figures['answers']['held out']} on the others; digest"
        f" {', '.join(f'`{code}`' for code in figures['codes'])}.\n",
        "| ground | confidence | right |\n|---|---|---|",
        *(
            f"| {name} | {row['confidence']:.2f} | {_cell(row)} |"
            for name, row in figures["grounds"].items()
            if row["of"]
        ),
    ]
    for name in (
        "kinds held out",
        "kinds and architectures held out",
        "first causes, kinds and architectures held out",
    ):
        lines += [
            f"\n| {name}: mean confidence | right |\n|---|---|",
            *(f"| {row['mean']:.2f} | {_cell(row)} |" for row in figures[name]),
        ]
    wrong = figures["wrong first cause with .5 or more, kinds and architectures held out"]
    lines.append(f"\nA wrong first cause, .5 sure or more, of all first causes: {_cell(wrong)}.")
    return lines


def page() -> str:
    """Give the whole page."""
    parts = [INTRODUCTION]
    for name, title, told in PARTS:
        parts += _part(name, title, told)
    return "\n".join([*parts, *_confidence()]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
