"""The plan: the document's fixes in order of priority, with where each stands and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from capfix_cli.core.thresholds import CAUSE_FROM
from capfix_cli.fixes.ablation import best_measured
from capfix_cli.fixes.catalogue import Fix, by_priority
from capfix_cli.fixes.setting_status import Mark
from capfix_cli.fixes.trial_ranking import best_trial
from capfix_cli.schemas.records import Cause, PlanRow, Status, Trial, Verdict

Facts = Mapping[str, Any]
FIRST_STEP = "0"  # not in the catalogue: mend what is broken before any fix


@dataclass(frozen=True)
class PlanInputs:
    """What a plan is made from.

    Attributes:
        verdict: of greedy decoding.
        facts: read from the checkpoint.
        trials: decoding fixes that were made.
        causes: those found.
        first_step: what must be mended first, in words; empty for nothing.
        ruled_out: causes that were looked for and not found, with the figure that says so.
        marks: fix id -> what the settings of training and the training captions say of it.
    """

    verdict: Verdict
    facts: Facts
    trials: Sequence[Trial] = ()
    causes: Sequence[Cause] = ()
    first_step: str = ""
    ruled_out: Mapping[str, str] = field(default_factory=dict)
    marks: Mapping[str, Mark] = field(default_factory=dict)


def general_plan() -> tuple[PlanRow, ...]:
    """The document's plan as it stands, for a captioner nobody has measured."""
    return tuple(
        _row(entry, "unknown", entry.when)
        for entries in by_priority().values()
        for entry in entries
    )


def make_plan(findings: PlanInputs) -> tuple[PlanRow, ...]:
    """Order all fixes for this captioner; a broken input or checkpoint comes before them."""
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


def _row(entry: Fix, status: Status, reason: str) -> PlanRow:
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


def _judge(entry: Fix, findings: PlanInputs) -> tuple[Status, str]:
    mark = findings.marks.get(entry.id)
    if mark is not None and mark.status in {"done", "not-applicable"}:
        return mark.status, mark.reason
    built_in = _DONE.get(entry.id) if mark is None or mark.status == "unknown" else None
    reason = built_in(findings.facts) if built_in is not None else ""
    if reason:
        return "done", reason
    if findings.first_step:
        return "unknown", "not judged before the fault above is mended"
    return _judge_training(entry, findings) if entry.retrain else _judge_decoding(entry, findings)


def _judge_training(entry: Fix, findings: PlanInputs) -> tuple[Status, str]:
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
    elif findings.verdict == "generic" and entry.id == "2.3":
        judged = "needed", "captions are right but bland: attention hears more of each clip"
    elif findings.verdict == "generic":
        judged = "unknown", "the tree asks for attention (2.3) first where captions are bland"
    elif entry.id in _PRIORITY_2:
        judged = "needed", _PRIORITY_2[entry.id]
    elif entry.priority <= 2:
        judged = "unknown", "depends on the training captions, which were not given"
    else:
        later = "judged once priority 2 is trained and measured"
        judged = "unknown", f"{later}; {told}" if told else later
    return judged


# The causes that a fix is there to mend: where one was found it is needed, where all were looked
# for and none was found it is not.
MENDS: Mapping[str, tuple[str, ...]] = {
    "2.1": ("encoder.time-pooling", "encoder.collapsed"),
    "2.2": ("conditioning.ignored", "conditioning.first-step-only"),
    "2.3": ("conditioning.constant-attention",),
    "3.1": ("decoder.overconfident",),
    "3.2": ("training.exposure-bias",),
    "3.6": ("conditioning.ignored",),
    "4.1": ("data.imbalanced",),
    "4.2": ("data.generic-captions",),
    "4.3": ("data.single-caption",),
}


def _found(entry: Fix, findings: PlanInputs) -> str:
    causes = {cause.id: cause for cause in findings.causes}
    for name in MENDS.get(entry.id, ()):
        cause = causes.get(name)
        if cause is not None and cause.confidence >= CAUSE_FROM.value:
            shown = next((row for row in cause.evidence if isinstance(row.value, float)), None)
            figure = f": {shown.what} {shown.value:.2f}" if shown is not None else ""
            return f"{name}{figure}"
    return ""


def _ruled_out(entry: Fix, findings: PlanInputs) -> str:
    names = MENDS.get(entry.id, ())
    figures = [findings.ruled_out[name] for name in names if name in findings.ruled_out]
    if not names or len(figures) < len(names):
        return ""
    return f"ruled out: {'; '.join(filter(None, figures)) or ', '.join(names)}"


# Fixes of priority 2 that the tree names.
_PRIORITY_2 = {
    "2.1": "decoding did not make it listen: keep time in the encoder",
    "2.2": "decoding did not make it listen: give the audio to every step",
    "3.1": "the tree sets label smoothing 0.1 beside 2.1 and 2.2",
}


def _judge_decoding(entry: Fix, findings: PlanInputs) -> tuple[Status, str]:
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
    return "unknown", "not tried: the tree did not ask for it"


def _pooling(facts: Facts) -> str:
    kept = facts.get("encoder.pooling") == "frequency"
    return "the encoder pools frequency only" if kept else ""


def _conditioning(facts: Facts) -> str:
    how = facts.get("conditioning")
    return f"conditioning is {how}" if how in {"every-step", "attention", "concatenated"} else ""


def _attention(facts: Facts) -> str:
    how = facts.get("conditioning")
    return f"conditioning is {how}" if how in _ATTENTION else ""


_ATTENTION = {"attention", "additive-attention", "cross-attention"}


def _deeper(facts: Facts) -> str:
    depth = int(facts.get("encoder.depth") or 0)
    done = depth >= 3 and bool(facts.get("encoder.residual"))
    return f"{depth} blocks with residual paths" if done else ""


def _transformer(facts: Facts) -> str:
    return "the decoder is a Transformer" if facts.get("decoder.kind") == "transformer" else ""


def _pretrained(facts: Facts) -> str:
    name = facts.get("encoder.pretrained")
    return f"the encoder starts from {name}" if name not in {None, "none"} else ""


def _smoothing(facts: Facts) -> str:
    return _trained_with(facts, "label_smoothing", "label smoothing")


def _scheduled(facts: Facts) -> str:
    return _trained_with(facts, "scheduled_sampling", "scheduled sampling up to")


def _augmented(facts: Facts) -> str:
    return _trained_with(facts, "augmentation", "augmentation:")


def _dropout(facts: Facts) -> str:
    rates = {"decoder": facts.get("dropout"), "encoder": facts.get("encoder.dropout")}
    used = [f"{rate:g} in the {where}" for where, rate in rates.items() if rate]
    return "dropout " + ", ".join(used) if used else ""


def _weight_decay(facts: Facts) -> str:
    return _trained_with(facts, "weight_decay", "weight decay")


def _clipping(facts: Facts) -> str:
    return _trained_with(facts, "gradient_clip", "gradients clipped at norm")


def _all_captions(facts: Facts) -> str:
    count = facts.get("training.captions_per_clip") or 0
    return f"trained on {count} captions a clip" if count > 1 else ""


def _trained_with(facts: Facts, name: str, words: str) -> str:
    value = facts.get(f"training.{name}")
    return f"{words} {value}" if value else ""


_DONE: Mapping[str, Callable[[Facts], str]] = {
    "2.1": _pooling,
    "2.2": _conditioning,
    "2.3": _attention,
    "2.4": _deeper,
    "2.5": _transformer,
    "2.6": _pretrained,
    "3.1": _smoothing,
    "3.2": _scheduled,
    "3.4": _augmented,
    "4.3": _all_captions,
    "5.1": _dropout,
    "5.2": _weight_decay,
    "5.3": _clipping,
}
