"""The demo's story on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from capfix_cli.demo.story import DemoResult
from capfix_cli.report.terminal.diagnosis_view import print_diagnosis
from capfix_cli.report.terminal.retraining_view import print_retraining, print_same_clips
from capfix_cli.report.terminal.style import columns, heading, share


def print_demo(console: Console, result: DemoResult, folder: str) -> None:
    """Print the diagnosis, the proof, the same clips by all captioners, and how right they are."""
    console.rule("1. A collapsed captioner, diagnosed")
    print_diagnosis(console, result.before)
    console.print()
    console.rule("2. Retrained by the recipe, and proved")
    print_retraining(console, result.retraining)
    console.print()
    console.rule("3. The same clips, captioned by all three")
    names = list(result.scores)
    print_same_clips(console, result.captions, ["truth", *names])
    console.print(heading("Against what was put into the clips"))
    table = columns("", *names, ratio_last=False)
    for field, words in (
        ("named", "events named"),
        ("both", "both events named"),
        ("ordered", "both, in the right order"),
    ):
        table.add_row(words, *(share(getattr(score, field)) for score in result.scores.values()))
    console.print(table)
    console.print(Text(f"\nAll of it is kept in {folder}. Try it yourself:"), soft_wrap=True)
    console.print(
        Text(f"  capfix diagnose {folder}/repaired.pt --audio {folder}/test"), soft_wrap=True
    )
