"""Before, after and control, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.text import Text

from capfix_cli.report.terminal.style import VERDICT_STYLES, columns, heading
from capfix_cli.schemas.diagnosis_record import Diagnosis
from capfix_cli.schemas.retraining_record import Retraining

Captions = Mapping[str, Mapping[str, str]]  # clip -> heading -> caption


def print_retraining(console: Console, result: Retraining) -> None:
    """Print the proof of a recipe."""
    sides = {} if result.before is None else {"before": result.before}
    if result.control is not None:
        sides["control (same budget, no fixes)"] = result.control
    sides["after (the recipe)"] = result.after
    print_side_by_side(console, sides)
    console.print()
    console.print(Text(result.conclusion, style="bold"))
    _print_expected(console, result)
    for note in result.notes:
        console.print(Text(f"Note: {note}"), style="dim")
    console.print(f"\nSaved: {result.checkpoint}", soft_wrap=True)
    if result.control_checkpoint:
        console.print(f"Control: {result.control_checkpoint}", soft_wrap=True, style="dim")
    if result.left_out:
        console.print(f"Left out: {result.left_out}", soft_wrap=True, style="dim")


def _print_expected(console: Console, result: Retraining) -> None:
    """Print what the recipe promised beside what came out."""
    if not result.expected:
        return
    kept = sum(row.met is True for row in result.expected)
    console.print()
    console.print(heading(f"The recipe's promises: {kept} of {len(result.expected)} kept"))
    table = columns("", "promised", "came out", ratio_last=False)
    for row in result.expected:
        word = {True: "kept", False: "broken", None: "open"}[row.met]
        style = {True: "green", False: "red", None: "dim"}[row.met]
        value = f"{row.value:.2f}" if isinstance(row.value, float) else str(row.value or "-")
        wanted = f" (asked: {row.wanted:.2f})" if isinstance(row.wanted, float) else ""
        table.add_row(
            Text(word, style=style),
            Text(f"{row.measure}: {row.sentence}"),
            Text(f"{value}{wanted}{f', {row.note}' if row.note else ''}"),
        )
    console.print(table)


def print_side_by_side(console: Console, sides: Mapping[str, Diagnosis]) -> None:
    """Print the deciding figures of several diagnoses, each with its interval."""
    table = columns("", *sides, ratio_last=False)
    rows: list[tuple[str, list[Text]]] = [
        ("verdict", [Text(d.verdict, style=VERDICT_STYLES[d.verdict]) for d in sides.values()]),
        ("listening, bits", [Text(_own_bits(d)) for d in sides.values()]),
    ]
    if any(d.listening and d.listening.reference_bits is not None for d in sides.values()):
        rows.append(("listening on references", [Text(_reference_bits(d)) for d in sides.values()]))
    rows += [
        ("finds its clip", [Text(_identification(d)) for d in sides.values()]),
        ("distinct captions", [Text(_measure(d, "distinct_captions")) for d in sides.values()]),
        ("caption entropy", [Text(_measure(d, "caption_entropy")) for d in sides.values()]),
        ("vocabulary", [Text(_measure(d, "vocabulary")) for d in sides.values()]),
    ]
    for name, cells in rows:
        table.add_row(name, *cells)
    console.print(heading("Before and after, on the same clips (95 % intervals)"))
    console.print(table)


def print_same_clips(console: Console, captions: Captions, names: Sequence[str]) -> None:
    """Print the same clips as several captioners caption them."""
    for clip, told in captions.items():
        console.print(Text(f"\n{clip}", style="bold"))
        table = columns("", "")
        table.show_header = False
        for name in names:
            table.add_row(Text(name, style="dim"), Text(told.get(name, "")))
        console.print(table)


def _own_bits(diagnosis: Diagnosis) -> str:
    heard = diagnosis.listening
    return "-" if heard is None else f"{heard.bits:.2f} ({heard.low:.2f} to {heard.high:.2f})"


def _reference_bits(diagnosis: Diagnosis) -> str:
    heard = diagnosis.listening
    if heard is None or heard.reference_bits is None:
        return "-"
    low, high = heard.reference_low or 0.0, heard.reference_high or 0.0
    return f"{heard.reference_bits:.2f} ({low:.2f} to {high:.2f})"


def _identification(diagnosis: Diagnosis) -> str:
    heard = diagnosis.listening
    if heard is None:
        return "-"
    return f"{100 * heard.identification:.0f} % (chance {100 * heard.chance:.0f} %)"


def _measure(diagnosis: Diagnosis, name: str) -> str:
    row = diagnosis.measures[name]
    if row.low is None or row.high is None:
        return f"{row.value:.2f}"
    places = 0 if row.value > 10 else 2
    return f"{row.value:.{places}f} ({row.low:.{places}f} to {row.high:.{places}f})"
