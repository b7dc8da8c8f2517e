"""A diagnosis on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.text import Text

from capfix_cli.report.terminal.asked_view import print_asked
from capfix_cli.report.terminal.axes_view import print_axes
from capfix_cli.report.terminal.plan_view import print_plan
from capfix_cli.report.terminal.signal_view import print_not_tested, print_signal
from capfix_cli.report.terminal.style import columns, heading, share, verdict_line
from capfix_cli.report.terminal.training_data_view import print_training
from capfix_cli.report.terminal.trials_view import print_trials
from capfix_cli.schemas.diagnosis_record import Diagnosis
from capfix_cli.schemas.measured_values import Evidence, Listening, Measure

MEASURES = {
    "distinct_captions": "distinct captions",
    "caption_entropy": "caption entropy",
    "top_1_share": "commonest caption",
    "top_10_share": "ten commonest",
    "distinct_1": "distinct-1",
    "distinct_2": "distinct-2",
    "distinct_3": "distinct-3",
    "self_bleu_4": "self-BLEU-4",
    "vocabulary": "vocabulary, words",
    "length": "length, words",
    "repeats": "captions that repeat themselves",
    "no_end": "captions without an end",
}
SHOWN_SKIPPED = 5
SHOWN_EVIDENCE = 4  # rows of a node of the tree
SHOWN_OF_CAUSE = 4  # rows of a cause


def print_diagnosis(console: Console, diagnosis: Diagnosis) -> None:
    """Print a whole diagnosis, the verdict first and what to do next last."""
    audio = diagnosis.audio
    what = audio.features or f"{audio.seconds / 60:.1f} min"
    console.print(
        Text(
            f"{diagnosis.model.path} on {audio.clips} clips ({what}) of {audio.folder}",
            style="dim",
        ),
        soft_wrap=True,
    )
    console.print()
    console.print(verdict_line(diagnosis.verdict, listened=_listened(diagnosis)))
    _print_axes(console, diagnosis)
    _print_examples(console, diagnosis.examples)
    _print_tree(console, diagnosis)
    distinct = diagnosis.measures.get("distinct_captions")
    print_trials(console, diagnosis.trials, distinct, diagnosis.listening)
    _print_repairs(console, diagnosis)
    _print_causes(console, diagnosis)
    print_asked(console, diagnosis.asked)
    print_training(console, diagnosis)
    print_signal(console, diagnosis.signal)
    _print_measures(console, diagnosis.measures)
    print_plan(console, diagnosis.plan, brief=True)
    _print_skipped(console, diagnosis)
    print_not_tested(console, diagnosis.not_tested)
    for note in diagnosis.notes:
        console.print(Text(f"\nNote: {note}"), style="dim")
    _print_next(console, diagnosis)


def _listened(diagnosis: Diagnosis) -> bool:
    return diagnosis.listening is not None or "decides" in diagnosis.axes


def verdict_evidence(diagnosis: Diagnosis) -> Sequence[Evidence]:
    """Give the comparisons behind the verdict, from the tree where they were made."""
    for step in diagnosis.tree:
        if step.node == "same-caption":
            return step.evidence
    return ()


def listening_words(listening: Listening | None) -> str:
    """Give bits, their interval and identification in a line."""
    if listening is None:
        return "not measured"
    text = (
        f"{listening.bits:.2f} of {listening.ceiling_bits:.2f} bits "
        f"({listening.low:.2f} to {listening.high:.2f})"
    )
    if listening.reference_bits is not None:
        text += (
            f", on references {listening.reference_bits:.2f} "
            f"({listening.reference_low or 0:.2f} to {listening.reference_high or 0:.2f})"
        )
    found = f"finds its clip {share(listening.identification)}, chance {share(listening.chance)}"
    return f"{text}; {found}"


def _print_axes(console: Console, diagnosis: Diagnosis) -> None:
    evidence = verdict_evidence(diagnosis)
    print_axes(console, diagnosis.axes, evidence, diagnosis.close, diagnosis.degenerate)
    console.print(Text(f"listening: {listening_words(diagnosis.listening)}"), soft_wrap=True)


def _print_examples(console: Console, examples: Sequence[Mapping[str, str]]) -> None:
    if not examples:
        return
    names = list(examples[0])
    console.print(heading("What it says"))
    table = columns("clip", *names[1:])
    table.columns[1].no_wrap = False
    table.columns[1].ratio = 1
    for row in examples:
        table.add_row(*(Text(row.get(name, "")) for name in names))
    console.print(table)


def _print_tree(console: Console, diagnosis: Diagnosis) -> None:
    console.print(heading("Decision tree"))
    for depth, step in enumerate(diagnosis.tree):
        lead = "  " * depth
        leaf = depth == len(diagnosis.tree) - 1
        answer = Text(f"{lead}-> " if leaf else f"{lead}{step.question} ")
        answer.append(step.answer, style="bold")
        console.print(answer)
        told = step.evidence[:SHOWN_EVIDENCE]
        for row in told:
            console.print(Text(f"{lead}  {_evidence_words(row)}"), style="dim", soft_wrap=True)
        if len(step.evidence) > len(told):
            more = len(step.evidence) - len(told)
            console.print(f"{lead}  and {more} more, in the run's diagnosis.json", style="dim")


def _print_repairs(console: Console, diagnosis: Diagnosis) -> None:
    if not diagnosis.repairs:
        return
    console.print(heading("Repairs tried, without training"))
    for trial in diagnosis.repairs:
        mark = Text("  works  " if trial.kept else "  no     ", "green" if trial.kept else "red")
        console.print(mark.append(f"{trial.name}: {trial.reason}", "default"), soft_wrap=True)
        if trial.kept:
            console.print(Text(f"         change: {trial.repair}"), style="bold", soft_wrap=True)


def _print_causes(console: Console, diagnosis: Diagnosis) -> None:
    if not diagnosis.causes:
        return
    console.print(heading("Causes"))
    table = columns("cause", "", "confidence", "evidence")
    for cause in diagnosis.causes:
        last = [row for row in cause.evidence if row.name == "explained by"]
        rows = (*cause.evidence[:SHOWN_OF_CAUSE], *last)
        evidence = "; ".join(_evidence_words(row) for row in dict.fromkeys(rows))
        status = "" if cause.id == "unknown" else cause.status
        table.add_row(cause.id, status, share(cause.confidence), Text(evidence))
    console.print(table)
    if diagnosis.lost_at:
        console.print(Text(f"lost at {diagnosis.lost_at}"), soft_wrap=True)


def _evidence_words(row: Evidence) -> str:
    value = f"{row.value:.2f}" if isinstance(row.value, float) else str(row.value)
    limit = "" if row.threshold is None else f" (threshold {row.threshold})"
    if isinstance(row.threshold, float):
        limit = f" (threshold {row.threshold:.2f})"
    return f"{row.name}: {value}{row.after}{limit}"


def _print_measures(console: Console, measures: Mapping[str, Measure]) -> None:
    console.print(heading("Measures, with 95 % intervals"))
    table = columns("", "value", "interval", "")
    for name, words in MEASURES.items():
        row = measures.get(name)
        if row is not None:
            interval = "" if row.low is None else f"{_number(row.low)} to {_number(row.high)}"
            table.add_row(words, _number(row.value), interval, "")
    console.print(table)


def _number(value: float | None) -> str:
    if value is None:
        return "?"
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}"


def _print_skipped(console: Console, diagnosis: Diagnosis) -> None:
    skipped = diagnosis.audio.skipped
    if not skipped:
        return
    console.print(heading(f"{len(skipped)} files skipped"))
    for clip in skipped[:SHOWN_SKIPPED]:
        console.print(Text(f"  {clip.path}: {clip.reason}"), soft_wrap=True)
    if len(skipped) > SHOWN_SKIPPED:
        more = len(skipped) - SHOWN_SKIPPED
        console.print(f"  … and {more} more, all listed in the run's diagnosis.json", style="dim")


def _print_next(console: Console, diagnosis: Diagnosis) -> None:
    console.print(heading("Next"))
    faulty = diagnosis.tree[0].answer == "yes"
    if diagnosis.recipe is not None and not faulty:
        clips = "--features TRAIN" if diagnosis.audio.features else "--audio TRAIN_DIR"
        text = f"  capfix retrain {diagnosis.recipe} --captions TRAIN.csv {clips}"
    elif repair := next((t.repair for t in diagnosis.repairs if t.kept), ""):
        text = f"  {repair}; then diagnose again"
    elif diagnosis.best_decoding is not None:
        text = "  capfix generate --output captions.csv      (decodes as the kept trial does)"
    elif proved := next((c.mend for c in diagnosis.causes if c.status == "proved"), ""):
        # Also where every fix of the recipe is there already: what is left is the cause itself.
        text = f"  {proved}; then diagnose again"
    else:
        text = f"  {diagnosis.tree[-1].answer}"
    console.print(Text(text), soft_wrap=True)
    console.print(f"\nRun {diagnosis.run} is stored in .capfix/runs/{diagnosis.run}", style="dim")
