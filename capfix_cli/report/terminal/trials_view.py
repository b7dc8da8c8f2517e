"""The decoding fixes that were tried, on the terminal: what each raises, and which work."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from capfix_cli.core.thresholds import RAISE
from capfix_cli.report.terminal.style import columns, heading
from capfix_cli.schemas.diagnosis_record import Trial
from capfix_cli.schemas.measured_values import Listening, Measure

# What a trial's outcome means, in the order in which it is explained below the table.
OUTCOMES = {
    "kept": ("kept", "bold green", "captions differ, the audio decides them, and they stay fluent"),
    "deaf": ("deaf", "magenta", "captions differ, but the audio does not decide them"),
    "repeats": ("repeats", "red", "captions still repeat"),
    "degenerate": ("no sentences", "red", "captions still are no sentences"),
    "listens-less": ("listens less", "red", "diverse, but it listens less than greedy decoding"),
    "not-fluent": ("not fluent", "yellow", "diverse and listening, but no longer fluent"),
    "outrun": ("outrun", "dim", "works on the clips tried, but others of the search were better"),
    "not-held": ("does not hold", "yellow", "works on the clips it was chosen by, not on others"),
    "unasked": ("unasked", "dim", "works on the clips tried; better ones did not hold on others"),
}


def print_trials(
    console: Console, trials: Sequence[Trial], distinct: Measure | None, greedy: Listening | None
) -> None:
    """Print every trial with intervals, what it raises above greedy, and the Pareto front.

    Args:
        console: where.
        trials: in the order in which they were made.
        distinct: distinct captions of greedy decoding.
        greedy: its listening.
    """
    if not trials:
        return
    console.print(heading("Decoding fixes tried (95 % intervals)"))
    table = columns("", "fix", "decoding", "distinct", "bits", "raises", "outcome")
    table.columns[2].no_wrap = False
    table.columns[2].ratio = 1
    table.columns[6].ratio = None
    table.columns[6].no_wrap = True
    if distinct is not None and greedy is not None:
        table.add_row("", "", "greedy", _share(distinct), _bits(greedy), "", "")
    for trial in trials:
        shown, style, _ = OUTCOMES.get(trial.outcome, ("", "", ""))
        own = trial.measures["distinct_captions"]
        table.add_row(
            "*" if trial.pareto else "",
            trial.fix,
            Text(trial.name),
            _share(own),
            _bits(trial.listening),
            raises(own, trial.listening, distinct, greedy),
            Text(shown, style=style),
        )
    console.print(table)
    if any(trial.pareto for trial in trials):
        told = "* Pareto front: no other trial is more diverse and listens more"
        console.print(told, style="dim")
    met = {trial.outcome for trial in trials}
    for outcome, (shown, _, meaning) in OUTCOMES.items():
        if outcome in met:
            console.print(f"{shown}: {meaning}", style="dim")
    _print_scale(console, trials)
    if greedy is not None and greedy.reference_bits is not None:
        told = f"bits are on own captions; on references {greedy.reference_bits:.2f}, however"
        console.print(f"{told} it is decoded", style="dim")


def _print_scale(console: Console, trials: Sequence[Trial]) -> None:
    clips = max(trial.clips for trial in trials)
    ceilings = {t.listening.ceiling_bits for t in trials if t.listening and t.clips == clips}
    if ceilings:
        ceiling = f"{max(ceilings):.2f}"
        fewer = " (fewer in the first rounds of the search)" * any(t.clips < clips for t in trials)
        console.print(f"on {clips} clips{fewer}, bits of {ceiling} at most", style="dim")


def raises(
    own: Measure, heard: Listening | None, distinct: Measure | None, greedy: Listening | None
) -> str:
    """Say which of the two axes a trial raises beyond doubt: where the intervals are apart."""
    raised = []
    if distinct is not None and _above(
        own.low or own.value, distinct.high or distinct.value, RAISE.value
    ):
        raised.append("diversity")
    if heard is not None and greedy is not None:
        scale = greedy.ceiling_bits / heard.ceiling_bits  # of other contrast sets
        if _above(scale * heard.low, greedy.high, RAISE.value * greedy.ceiling_bits):
            raised.append("listening")
    return " and ".join(raised)


def _above(low: float, high: float, least: float) -> bool:
    return low > high + least


def _share(measure: Measure) -> str:
    if measure.low is None or measure.high is None:
        return f"{measure.value:.2f}"
    return f"{measure.value:.2f} ({measure.low:.2f}-{measure.high:.2f})"


def _bits(listening: Listening | None) -> str:
    if listening is None:
        return "-"
    return f"{listening.bits:.2f} ({listening.low:.2f}-{listening.high:.2f})"
