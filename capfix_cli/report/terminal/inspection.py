"""An inspection on the terminal."""

from __future__ import annotations

import math

from rich.console import Console
from rich.text import Text

from capfix_cli.records import Inspection
from capfix_cli.report.terminal.style import columns, heading, share

SHOWN = 12  # tensors


def print_inspection(console: Console, found: Inspection) -> None:
    """Print format, safety, the X-ray, settings, vocabulary and tensors."""
    console.print(Text(found.path, style="bold"), soft_wrap=True)
    console.print(f"{found.format}, sha256 {found.sha256}", style="dim", soft_wrap=True)
    if found.refused:
        console.print(Text(f"\nREFUSED: {found.refused}. Nothing of it was run.", style="bold red"))
    console.print(heading("X-ray: what names and shapes say"))
    table = columns("", "value", "sure", "because")
    for name, fact in found.facts.items():
        undecided = fact.value is None
        value = Text(
            "undecided" if undecided else str(fact.value), style="dim" if undecided else ""
        )
        sure = "" if undecided else share(fact.confidence)
        table.add_row(name, value, sure, Text("; ".join(fact.evidence)))
    console.print(table)
    if found.vocabulary is not None:
        special = ", ".join(f"{word} = {id_}" for word, id_ in found.vocabulary.special.items())
        console.print(heading("Vocabulary"))
        console.print(
            Text(f"{found.vocabulary.size} words under {found.vocabulary.source}; {special}")
        )
    if found.config:
        console.print(heading("Settings beside the weights"))
        for name, value in found.config.items():
            console.print(Text(f"  {name}: {value!s:.300}"))
    if found.imports:
        console.print(heading("What it wants to import (nothing was)"))
        console.print(Text("  " + ", ".join(found.imports)))
    total = sum(math.prod(tensor.shape) for tensor in found.tensors)
    console.print(heading(f"{len(found.tensors)} tensors, {total:,} numbers"))
    table = columns("name", "dtype", "shape")
    for tensor in found.tensors[:SHOWN]:
        table.add_row(tensor.name, tensor.dtype, str(list(tensor.shape)))
    console.print(table)
    if len(found.tensors) > SHOWN:
        console.print(f"… and {len(found.tensors) - SHOWN} more: `--json` lists all", style="dim")
