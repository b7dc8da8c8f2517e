"""The axes of a verdict on the terminal: what was measured, with interval and threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.text import Text

from capfix_cli.report.terminal.style import columns
from capfix_cli.schemas.measured_values import Axis, Evidence, Verdict

_STYLES = {"yes": "green", "close": "yellow", "no": "red"}


def print_axes(
    console: Console,
    axes: Mapping[str, Axis],
    evidence: Sequence[Evidence],
    close: Sequence[Verdict] = (),
    degenerate: str = "",
) -> None:
    """Print a row an axis; of records that have no axes, the comparisons behind the verdict.

    Args:
        console: where.
        axes: as the record has them.
        evidence: of records of version 0.1.
        close: verdicts that the intervals do not rule out.
        degenerate: what is wrong with the captions as sentences.
    """
    interval = ("interval",) if axes else ()
    table = columns("", "measured", *interval, "needs at least", "")
    table.columns[0].no_wrap = False  # a long name takes two lines; figures are never cut
    for axis in axes.values():
        answer = "yes" if axis.fulfilled else "no"
        style = _STYLES["close" if axis.close else answer]
        table.add_row(
            axis.told,
            Text(f"{axis.value:.2f}", style=style),
            f"{axis.low:.2f} to {axis.high:.2f}",
            f"{axis.threshold:.2f}",
            f"{answer}, a close call" if axis.close else answer,
        )
    if not axes:
        for row in evidence:
            if isinstance(row.value, float) and isinstance(row.threshold, float):
                answer = "yes" if row.value >= row.threshold else "no"
                value = Text(f"{row.value:.2f}", style=_STYLES[answer])
                table.add_row(row.name, value, f"{row.threshold:.2f}", answer)
    if table.row_count:
        console.print()
        console.print(table)
    if degenerate:
        console.print(Text(f"no sentences: {degenerate}"), soft_wrap=True)
    if close:
        told = " or ".join(close)
        console.print(Text(f"a close call: it may as well be {told}", style="yellow"))
