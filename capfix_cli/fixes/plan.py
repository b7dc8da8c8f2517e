"""The plan: the document's fixes in order of priority, with where each stands and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from capfix_cli.core.thresholds import CAUSE_FROM
from capfix_cli.fixes.ablation import best_measured
from capfix_cli.fixes.catalogue import FixSpec, by_priority
from capfix_cli.fixes.setting_status import Mark, training_settings
from capfix_cli.fixes.trial_ranking import best_trial
from capfix_cli.schemas.diagnosis_record import Cause, PlanRow, Status, Trial
from capfix_cli.schemas.measured_values import Verdict

Facts = Mapping[str, Any]
FIRST_STEP = "0"  # not in the catalogue: mend what is broken before any fix


@dataclass(frozen=True, kw_only=True)
class PlanInputs:
    """What a plan is made from.

    Attributes:
        verdict: of greedy decoding.
        facts: read from the checkpoint.
        trials: decoding fixes that were made.
        causes: those found.
        first_step: what must be mended first, in words; empty for nothing.
        ruled_out: causes that were looked for and not found, with the figure that says so.
        untried: fix id -> why it could not be tried, in words.
        marks: fix id -> what the settings of training and the training captions say of it.
    """

    verdict: Verdict
    facts: Facts
    trials: Sequence[Trial] = ()
    causes: Sequence[Cause] = ()
    first_step: str = ""
    ruled_out: Mapping[str, str] = field(default_factory=dict)
    marks: Mapping[str, Mark] = field(default_factory=dict)
    untried: Mapping[str, str] = field(default_factory=dict)


def general_plan() -> tuple[PlanRow, ...]:
    """The document's plan as it stands, for a captioner nobody has measured."""
    return tuple(
        _row(entry, "unknown", entry.when)
        for entries in by_priority().values()
        for entry in entries
    )


def make_plan(findings: PlanInputs) -> tuple[PlanRow, ...]:
    """Order all fixes for this captioner; a broken input or checkpoint comes before them."""
    # The checkpoint's own settings count where nothing else is known.
    marks = training_settings(findings.facts) | dict(findings.marks)
    findings = replace(findings, marks=marks)
    rows = [
        _row(entry, *_judge(entry, findings))
        for entries in by_priority().values()
        for entry in entries
    ]
    if findings.first_step:
        title = "Mend what is broken"
        first = PlanRow(FIRST_STEP, title, 0, "needed", False, "depends", findings.first_step)
        rows.insert(0, first)
    return tuple(rows)


def _row(entry: FixSpec, status: Status, reason: str) -> PlanRow:
    return PlanRow(
        entry.id,
        entry.title,
        entry.priority,
        status,
        entry.retrain,
        entry.effort,
        reason,
        entry.impact,
        best_measured(entry.id),
    )


def _judge(entry: FixSpec, findings: PlanInputs) -> tuple[Status, str]:
    mark = findings.marks.get(entry.id)
    if mark is not None and mark.status in {"done", "not-applicable"}:
        return mark.status, mark.reason
    reason = entry.built_in(findings.facts) if entry.built_in is not None else ""
    if reason:
        return "done", reason
    if findings.first_step:
        return "unknown", "not judged before the fault above is mended"
    return _judge_training(entry, findings) if entry.retrain else _judge_decoding(entry, findings)


def _judge_training(entry: FixSpec, findings: PlanInputs) -> tuple[Status, str]:
    kept = best_trial(findings.trials)
    mark = findings.marks.get(entry.id)
    told = mark.reason if mark is not None and mark.status == "needed" else ""
    if findings.verdict == "healthy":
        judged: tuple[Status, str] = "not-applicable", "the captioner is healthy"
    elif kept is not None:
        judged = "not-applicable", f"decoding repairs it: {kept.name}"
    elif found := _found(entry, findings):
        judged = "needed", found
    elif told and entry.priority <= 2:
        judged = "needed", told
    elif ruled := _ruled_out(entry, findings):
        judged = "not-applicable", ruled
    elif _asked(entry, findings.verdict):
        judged = "needed", _asked(entry, findings.verdict)
    elif findings.verdict == "generic":
        judged = "unknown", "the tree asks for attention (2.3) first where captions are bland"
    elif findings.verdict == "degenerate":
        judged = "unknown", "the tree asks first for what ends captions and keeps them from looping"
    elif entry.priority <= 2:
        judged = "unknown", "depends on the training captions, which were not given"
    else:
        later = "judged once priority 2 is trained and measured"
        judged = "unknown", f"{later}; {told}" if told else later
    return judged


def _asked(entry: FixSpec, verdict: Verdict) -> str:
    """Why the tree asks for a fix that needs training, at the end to which a verdict leads."""
    if verdict == "generic":
        return entry.asked_for_bland
    return entry.asked_for_degenerate if verdict == "degenerate" else entry.asked_for


def _found(entry: FixSpec, findings: PlanInputs) -> str:
    causes = {cause.id: cause for cause in findings.causes}
    for name in entry.cures:
        cause = causes.get(name)
        if cause is not None and cause.confidence >= CAUSE_FROM.value:
            shown = next((row for row in cause.evidence if isinstance(row.value, float)), None)
            figure = f": {shown.name} {shown.value:.2f}{shown.after}" if shown is not None else ""
            return f"{name}{figure}"
    return ""


def _ruled_out(entry: FixSpec, findings: PlanInputs) -> str:
    names = entry.cures
    figures = [findings.ruled_out[name] for name in names if name in findings.ruled_out]
    if not names or len(figures) < len(names):
        return ""
    return f"ruled out: {'; '.join(filter(None, figures)) or ', '.join(names)}"


def _judge_decoding(entry: FixSpec, findings: PlanInputs) -> tuple[Status, str]:
    if findings.verdict == "healthy":
        return "not-applicable", "the captioner is healthy as it is"
    made = [trial for trial in findings.trials if entry.id in trial.fix.split("+")]
    kept = best_trial(made)
    best = best_trial(findings.trials)
    if best is not None and kept == best:
        return "needed", f"{best.name}: {best.reason}"
    if best is not None and kept is not None:
        return "not-applicable", f"works as well, {kept.name}, but {best.name} listens more"
    if made:
        tried = made[0]
        return "not-applicable", f"tried, {tried.name}: {tried.reason}"
    return "unknown", findings.untried.get(entry.id, "not tried: the tree did not ask for it")
