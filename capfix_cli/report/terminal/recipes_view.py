"""The recipes that ship."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from capfix_cli.report.terminal.style import columns, heading
from capfix_cli.training.shipped import Shipped


def print_recipes(console: Console, rows: Sequence[Shipped]) -> None:
    """Print each recipe's name, fixes and what it is for, and how to run one."""
    console.print(heading("Recipes that ship"))
    table = columns("name", "fixes", "for")
    for row in rows:
        table.add_row(row.name, Text(" ".join(row.fixes)), Text(row.title))
    console.print(table)
    console.print(
        f"\nRun one: capfix retrain {rows[0].name} --captions train.csv --audio train/"
        " --test-audio test/",
        soft_wrap=True,
    )
    console.print(f"Adapt one: cp {rows[0].path} my.yaml", soft_wrap=True, style="dim")
