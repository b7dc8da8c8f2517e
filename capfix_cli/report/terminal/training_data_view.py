"""What the training captions and settings showed, on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from capfix_cli.captions.captions_file import printable
from capfix_cli.report.terminal.style import columns, heading
from capfix_cli.runs import run_store as runs
from capfix_cli.schemas.diagnosis_record import Diagnosis

SHOWN_ROWS = 3
STYLES = {"ok": "green", "suspect": "red", "not-tested": "dim"}


def print_training(console: Console, diagnosis: Diagnosis) -> None:
    """Print each check of the training captions, and the rows that a person should look at."""
    data = diagnosis.training
    if data is None:
        return
    captions, clips = data["captions"], data["clips"]
    console.print(heading(f"Training captions: {captions} for {clips} clips"))
    table = columns("check", "answer", "what was found")
    for finding in data["findings"]:
        words = finding["summary"] or (f"needs {finding['needs']}" if finding["needs"] else "")
        if not words and finding["evidence"]:
            row = finding["evidence"][0]
            value = row["value"]
            shown = f"{value:.3g}" if isinstance(value, float) else str(value)
            words = f"{row['name']}: {shown}"
        answer = Text(finding["answer"].replace("-", " "), style=STYLES[finding["answer"]])
        table.add_row(finding["title"], answer, Text(printable(words)))
    console.print(table)
    listed = sum(finding["listed"] for finding in data["findings"])
    for finding in data["findings"]:
        for row in finding["rows"][:SHOWN_ROWS] if finding["answer"] == "suspect" else ():
            text = f"  {row['file_name']}: {row['caption']!r:.80} - {row['reason']}"
            console.print(Text(printable(text), style="dim"), soft_wrap=True)
    if listed:
        where = runs.STORE / diagnosis.run / runs.TRAINING_ROWS
        console.print(f"{listed} rows to look at are in {where}", style="dim", soft_wrap=True)
