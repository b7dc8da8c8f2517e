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
references, training captions and training audio. No threshold was set on them. After the first
run over `conv-pool` and `cells` in the world `pairs`, kinds of evidence were mended, so that
these two are no longer held out; the others are. Shares have Wilson's 95 % interval. A fault that
leaves the captions as good as those of the sound captioner is counted apart.

```
make zoo                                    the small form
python -m benchmarks.accuracy.foreign --work FOLDER --esc10 PATH/TO/ESC-10      all of it
```
"""
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


def page() -> str:
    """Give the whole page."""
    result = read_result("accuracy/foreign")
    figures = result["figures"]
    every = figures["all"]
    parts = [
        INTRODUCTION,
        f"Summed up on {result['date']} at commit `{result['commit'] or 'unknown'}`, from answers"
        f" of {len(figures['codes'])} state of the code (digest"
        f" {', '.join(f'`{code}`' for code in figures['codes'])}), which may be older:"
        f" {len(figures['sound captioners'])} sound captioners,"
        f" {every['first']['of']} faulty ones.\n",
        "## In all\n",
        _table({"all": every}),
        "",
        f"- Sound captioners without a false proved cause: "
        f"{_cell(every['sound without a proved cause'])}; called healthy: "
        f"{_cell(every['sound called healthy'])}.",
        f"- Refused: {every['refused']}; crashed: {every['crashed']}.",
        "\n## By kind of fault\n",
        _table(figures["by kind"]),
        "\n## By architecture\n",
        _table(figures["by architecture"]),
        "\n## By world\n",
        _table(figures["by world"]),
        "\n## How sure, and how often right\n",
        "| confidence of the first cause | right |\n|---|---|",
        *(
            f"| {row['from']:.2f} to {row['to']:.2f} | {_cell(row)} |"
            for row in figures["reliability of the first cause"]
            if row["of"]
        ),
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
