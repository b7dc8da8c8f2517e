"""An inspection on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from capfix_cli.captions.captions_file import printable
from capfix_cli.fixes.catalogue import fix
from capfix_cli.report.terminal.style import columns, heading, share
from capfix_cli.schemas.inspection_record import Inspection

SHOWN = 12  # tensors


def print_inspection(console: Console, found: Inspection) -> None:
    """Print format, safety, the X-ray, settings, vocabulary and tensors."""
    console.print(Text(found.path, style="bold"), soft_wrap=True)
    console.print(f"{found.format}, sha256 {found.sha256}", style="dim", soft_wrap=True)
    if found.refused:
        console.print(Text(f"\nREFUSED: {found.refused}. Nothing of it was run.", style="bold red"))
    content = found.facts.get("content")
    if content is not None and content.value is not None:
        told = "; ".join(content.evidence)
        console.print(Text(f"\n{printable(str(content.value))}"), soft_wrap=True)
        console.print(Text(f"  {printable(told)}", style="dim"), soft_wrap=True)
    else:
        _print_facts(console, found)
    if found.against is not None:
        console.print(heading(f"Fixes of the network since {printable(found.against)}"))
        table = columns("fix", "", "done", "because", ratio_last=True)
        words = {True: "yes", False: "no", None: "cannot be told"}
        for row in found.fixes:
            because = Text(printable("; ".join(row.evidence)))
            table.add_row(row.fix, fix(row.fix).title, words[row.done], because)
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
    if found.tensors:
        _print_tensors(console, found)


def _print_facts(console: Console, found: Inspection) -> None:
    console.print(heading("X-ray: what names, shapes and values say"))
    table = columns("", "value", "sure", "because")
    for name, fact in found.facts.items():
        undecided = fact.value is None
        value = Text(
            "undecided" if undecided else str(fact.value), style="dim" if undecided else ""
        )
        sure = "" if undecided else share(fact.confidence)
        table.add_row(name, value, sure, Text("; ".join(fact.evidence)))
    console.print(table)


def _print_tensors(console: Console, found: Inspection) -> None:
    count = f"{len(found.tensors)} tensors, {found.elements:,} numbers"
    console.print(heading(f"{count}, {size_in_words(found.bytes)}"))
    table = columns("name", "dtype", "numbers", "size", "shape")
    for tensor in found.tensors[:SHOWN]:
        size = "unknown" if tensor.bytes is None else size_in_words(tensor.bytes)
        shape = str(list(tensor.shape))
        # Names come from the file: as Text they are shown, not read as markup.
        table.add_row(
            Text(tensor.name), Text(tensor.dtype), f"{tensor.elements:,}", size, Text(shape)
        )
    console.print(table)
    if len(found.tensors) > SHOWN:
        console.print(f"… and {len(found.tensors) - SHOWN} more: `--json` lists all", style="dim")


def size_in_words(size: int) -> str:
    """Give bytes in the largest unit of which there is one, in powers of 1,000.

    >>> size_in_words(999), size_in_words(1_500_000)
    ('999 B', '1.5 MB')
    """
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} TB"
