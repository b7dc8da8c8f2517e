"""Judged files of captions on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.text import Text

from capfix_cli.captions.captions_file import printable
from capfix_cli.measures.reference_ranges import MOST
from capfix_cli.report.terminal.axes_view import print_axes
from capfix_cli.report.terminal.measure_names import in_order, title
from capfix_cli.report.terminal.style import columns, heading, share, verdict_line
from capfix_cli.schemas.measured_values import Measure
from capfix_cli.schemas.measurement import (
    Comparison,
    CurvePoint,
    MeasuredFile,
    Measurement,
    Mode,
    ReferenceListening,
)

SHOWN_MODES = 5
LONGEST = 70  # letters of a caption that are shown


def print_measurement(console: Console, found: Measurement) -> None:
    """Print a file in full, or several side by side with their differences."""
    if len(found.files) == 1:
        _print_file(console, found.files[0])
        return
    for file in found.files:
        _print_verdict(console, file)
    console.print(heading("Measures, side by side"))
    _print_side_by_side(console, found.files)
    for comparison in found.comparisons:
        _print_comparison(console, comparison)
    for file in found.files:
        _print_notes(console, file.notes, prefix=f"{file.path}: ")
    _print_notes(console, found.notes)


def _print_file(console: Console, file: MeasuredFile) -> None:
    _print_verdict(console, file)
    _print_axes(console, file)
    console.print(heading("Measures, with 95 % intervals"))
    _print_measures(console, file.measures, "healthy at this N")
    if file.sampled:
        size = MOST
        text = f"{size} of them, drawn: the most for which healthy ranges are known"
        console.print(heading(text))
        _print_measures(console, file.sampled, f"healthy at N={size}")
    _print_curve(console, file.curve)
    _print_modes(console, file.modes, file.clips)
    _print_notes(console, file.notes)
    console.print(Text(f"\n{file.signature}", style="dim"), soft_wrap=True)


def _print_measures(console: Console, measures: Mapping[str, Measure], healthy: str) -> None:
    known = any(measure.healthy_low is not None for measure in measures.values())
    table = columns("", "value", "interval", *((healthy, "") if known else ()))
    for name in in_order(list(measures)):
        measure = measures[name]
        cells = (*_cells(measure), _mark(measure))
        table.add_row(title(name), *(cells if known else cells[:2]))
    console.print(table)


def _print_curve(console: Console, curve: Sequence[CurvePoint]) -> None:
    """Show on a line how the vocabulary grows, by at most five of its points."""
    shown = [point for point in curve if point.captions >= 10][-5:]
    if len(shown) > 1:
        text = ", ".join(f"{point.types:.0f} in {point.captions}" for point in shown)
        console.print(Text(f"words expected: {text} captions"))


def _print_verdict(console: Console, file: MeasuredFile) -> None:
    repeated = f", {file.duplicates} repeated rows left out" if file.duplicates else ""
    whose = "people's captions, " if file.people else ""
    references = f", up to {file.references} references each" if file.references else ""
    text = f"{printable(file.path)}: {whose}{file.clips} clips{references}{repeated}"
    console.print(Text(text, style="dim"), soft_wrap=True)
    console.print(verdict_line(file.verdict, listened=file.listening is not None))


def _print_axes(console: Console, file: MeasuredFile) -> None:
    print_axes(console, file.axes, file.evidence, file.close, file.degenerate)
    console.print(Text(f"listening: {listening_words(file.listening)}"), soft_wrap=True)


def listening_words(listening: ReferenceListening | None) -> str:
    """Give identification and ratio with their intervals in a line."""
    if listening is None:
        return "not judged: it needs the captioner (capfix diagnose) or references"
    text = (
        f"{share(listening.identification)} find their own clip among 20 "
        f"({share(listening.low)} to {share(listening.high)}; chance {share(listening.chance)}"
    )
    text += f", people {share(listening.people)})" if listening.people is not None else ")"
    if listening.ratio is None:
        return f"{text}; no caption shares a phrase with another clip's references"
    interval = f" ({listening.ratio_low or 0:.1f} to {listening.ratio_high or 0:.1f})"
    return (
        f"{text}; CIDEr-D on own references is {listening.ratio:.1f}{interval} times that on"
        " shuffled ones"
    )


def _print_modes(console: Console, modes: Sequence[Mode], clips: int) -> None:
    if not modes:
        return
    console.print(heading("Modes: near-identical captions"))
    table = columns("share", "clips", "wordings", "commonest wording")
    for mode in modes[:SHOWN_MODES]:
        text = mode.exemplar or "(nothing)"
        text = text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
        row = (share(mode.share), str(mode.size), str(mode.wordings), Text(printable(text)))
        table.add_row(*row)
    console.print(table)
    covered = sum(mode.size for mode in modes)
    alone = clips - covered
    console.print(f"{len(modes)} modes hold {covered} clips; {alone} captions stand alone")


def _print_side_by_side(console: Console, files: Sequence[MeasuredFile]) -> None:
    table = columns("", *(printable(_short(file.path)) for file in files), ratio_last=False)
    names = in_order(list(dict.fromkeys(name for file in files for name in file.measures)))
    if any(file.listening for file in files):
        found = [_identified(file.listening) for file in files]
        table.add_row("finds its own clip", *found)
    for name in names:
        table.add_row(title(name), *(_value(file.measures.get(name)) for file in files))
    console.print(table)


def _print_comparison(console: Console, comparison: Comparison) -> None:
    first, second = _short(comparison.first), _short(comparison.second)
    words = f"{second} against {first}, in pairs on {comparison.clips} shared clips"
    console.print(heading(printable(words)))
    table = columns("", first, second, "difference", "95 % interval", "p")
    for name, row in comparison.differences.items():
        table.add_row(
            title(name),
            number(row.first),
            number(row.second),
            f"{row.difference:+.2f}",
            f"{row.low:+.2f} to {row.high:+.2f}",
            "<.002" if row.p < 0.002 else f"{row.p:.3f}"[1:] if row.p < 1 else "1",
        )
    console.print(table)


def _print_notes(console: Console, notes: Sequence[str], prefix: str = "") -> None:
    for note in notes:
        console.print(Text(f"\nNote: {printable(prefix)}{note}."), style="dim")


def _identified(listening: ReferenceListening | None) -> str:
    if listening is None:
        return ""
    ends = f"{listening.low:.2f} to {listening.high:.2f}"
    return f"{listening.identification:.2f} ({ends})"


def _value(measure: Measure | None) -> str:
    if measure is None:
        return ""
    if measure.low is None:
        return number(measure.value)
    return f"{number(measure.value)} ({number(measure.low)} to {number(measure.high)})"


def _cells(measure: Measure) -> tuple[str, str, str]:
    interval = "" if measure.low is None else f"{number(measure.low)} to {number(measure.high)}"
    healthy = ""
    if measure.healthy_low is not None and measure.healthy_high is not None:
        healthy = f"{number(measure.healthy_low)} to {number(measure.healthy_high)}"
    return number(measure.value), interval, healthy


def _mark(measure: Measure) -> str:
    """Say where a measure lies outside its corridor with all of its interval."""
    low = measure.value if measure.low is None else measure.low
    high = measure.value if measure.high is None else measure.high
    if measure.healthy_low is not None and high < measure.healthy_low:
        return "below"
    if measure.healthy_high is not None and low > measure.healthy_high:
        return "above"
    return ""


def _short(path: str) -> str:
    return path.rpartition("/")[2]


def number(value: float | None) -> str:
    """Give a number with the digits that a reader needs."""
    if value is None:
        return "?"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.2g}" if 1e-6 < abs(value) < 0.1 else f"{value:.2f}"
