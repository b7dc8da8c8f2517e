"""From captions and memories to verdict, causes, tree, trials and plan of one captioner.

:func:`run_diagnosis` is the list of the steps; each step is a function of the one context.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.diagnosis.causes import discover
from capfix_cli.diagnosis.causes.finding import Finding, not_tested
from capfix_cli.diagnosis.decision_tree import Observations, Walk, walk
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.diagnosis.judged_captions import Planned
from capfix_cli.diagnosis.prediction import predict
from capfix_cli.diagnosis.ranking import Causes, rank
from capfix_cli.diagnosis.repairs.repair_trial import RepairTrial, repairs_for, try_repair
from capfix_cli.diagnosis.unexplained import find_lost, lost_at, with_unknown
from capfix_cli.diagnosis.verdict import Decision
from capfix_cli.fixes.plan import PlanInputs, make_plan
from capfix_cli.schemas.diagnosis_record import (
    Cause,
    NotTested,
    PlanRow,
    Prediction,
    SignalPlace,
    Trial,
)
from capfix_cli.schemas.measured_values import Evidence, Listening

EXAMPLES = 5
HEARD_APART = "clips that can be heard apart"
TRAINED = "a network that was trained"
REPAIRED = 2  # causes, of those found, whose repairs are tried

NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class DiagnosisResult:
    """Verdict, causes, tree, trials and plan of one captioner."""

    decision: Decision
    listening: Listening | None
    walk: Walk
    trials: tuple[Trial, ...]
    best: Trial | None
    causes: tuple[Cause, ...]
    plan: tuple[PlanRow, ...]
    examples: tuple[dict[str, str], ...]
    signal: tuple[SignalPlace, ...] = ()
    not_tested: tuple[NotTested, ...] = ()
    prediction: Prediction | None = None
    mends: tuple[str, ...] = ()
    repairs: tuple[RepairTrial, ...] = ()
    lost_at: str | None = None


def run_diagnosis(case: DiagnosisContext) -> DiagnosisResult:
    """Judge a captioner: integrity and repairs first, then tree with trials, causes and plan."""
    decision = case.decision
    gate = _check_integrity(case)
    repairs = _try_repairs(case, gate)
    gate = rank(gate.findings, repairs)
    fault = first_fault(gate)
    prediction = predict(case) if case.ill and case.finite and not fault else None
    walked = _walk_tree(case, gate, repairs, fault, prediction)
    causes = _find_causes(case, gate, repairs)
    plan = plan_of(case, causes, repairs, fault)
    trials, best = case.trials.made, case.trials.best
    if prediction is not None and trials:
        prediction = replace(prediction, came=best is not None)
    told = with_unknown(case, causes, find_lost)
    return DiagnosisResult(
        decision=decision,
        listening=case.listening,
        walk=walked,
        trials=trials,
        best=best,
        causes=told,
        plan=plan,
        examples=pick_examples(case, best or next(iter(trials), None)),
        signal=_signal(case),
        not_tested=causes.not_tested,
        prediction=prediction,
        mends=mends_of(causes),
        repairs=tuple(repairs),
        lost_at=lost_at(case, told, find_lost),
    )


def _check_integrity(case: DiagnosisContext) -> Causes:
    """Look for faults of input, weights and evaluation; where there is no audio, for that alone."""
    case.progress("testing input, weights and evaluation", 0, 1)
    gate = [spec for spec in discover().values() if spec.gate]
    final = {spec.id: spec.find(case) for spec in gate if spec.final}
    alone = rank(tuple(final.values()))
    # Where one cause leaves nothing to be said of any other, no other is looked for.
    needs = _needed(alone) if alone.ranked and case.finite else ""
    found = [
        final.get(spec.id) or (not_tested(spec.id, needs) if needs else spec.find(case))
        for spec in gate
    ]
    case.progress("testing input, weights and evaluation", 1, 1)
    return rank(found)


def first_fault(gate: Causes) -> str:
    """Say what must be mended before any fix is tried; empty where nothing was proved."""
    broken = [c for c in gate.proved if discover()[c.id].breaks]
    return broken[0].mend if broken and broken[0] == gate.proved[0] else ""


def _needed(gate: Causes) -> str:
    """What other tests would need, where one cause leaves nothing to be said of any other."""
    return TRAINED if gate.ranked[0].stage == "weights" else HEARD_APART


def _alone(gate: Causes) -> bool:
    """Say whether audio or weights are at fault so that nothing else can be said."""
    return any(discover()[cause.id].final for cause in gate.ranked)


def _try_repairs(case: DiagnosisContext, gate: Causes) -> list[RepairTrial]:
    """Try what mends the causes found without training: each cause's mends until one works."""
    made: list[RepairTrial] = []
    if not case.finite or _alone(gate):
        return made
    for cause in gate.ranked[:REPAIRED]:
        for repair in repairs_for(discover()[cause.id], case):
            case.progress("trying repairs", len(made), len(made) + 1)
            trial = try_repair(repair, case)
            if trial is not None:
                made.append(trial)
                if trial.kept:
                    break
    return made


def _walk_tree(
    case: DiagnosisContext,
    gate: Causes,
    repairs: Sequence[RepairTrial],
    fault: str,
    prediction: Prediction | None,
) -> Walk:
    """Walk the tree; where a decoding works, search for a better one around it."""
    doubted = prediction is not None and not prediction.works
    proved = {cause.id for cause in gate.proved}
    walked = walk(
        Observations(
            faults=fault,
            fault_evidence=gate_evidence(gate),
            decision=case.decision,
            repairs=tuple(trial for trial in repairs if trial.cause in proved),
            run_trial=partial(case.trials.run, doubted=doubted),
            run_search=case.trials.search,
            settle=case.trials.settle,
            hopeless=f"that needs {_needed(gate)}" if _alone(gate) else "",
        )
    )
    if case.trials.best is not None:
        case.trials.search()
        case.trials.settle()
    return walked


def _find_causes(case: DiagnosisContext, gate: Causes, repairs: Sequence[RepairTrial]) -> Causes:
    """Add the causes in the captioner itself, where anything can be said of it."""
    case.progress("looking for causes", 0, 1)
    specs = [spec for spec in discover().values() if not spec.gate]
    if not case.finite or case.listening is None or _alone(gate):
        needs = _needed(gate) if _alone(gate) else "scores that are finite numbers"
        found = [not_tested(spec.id, needs) for spec in specs]
    else:
        found = [spec.find(case) for spec in specs]
    case.progress("looking for causes", 1, 1)
    fit = bool(case.pairs_fit) and case.finite and case.input_fits
    return rank([*gate.findings, *found], repairs, pairs_fit=fit)


def plan_of(
    case: Planned,
    causes: Causes,
    repairs: Sequence[RepairTrial],
    fault: str,
    *,
    untried: Mapping[str, str] = NOTHING,
) -> tuple[PlanRow, ...]:
    """Order the fixes for a captioner.

    Args:
        case: the captioner, with its trials.
        causes: those found.
        repairs: that were tried.
        fault: what must be mended first, in words; empty for nothing.
        untried: fix id -> why it could not be tried.
    """
    return make_plan(
        PlanInputs(
            verdict=case.decision.verdict,
            facts=case.facts,
            trials=(*(repair.record for repair in repairs), *case.trials.made),
            causes=causes.ranked,
            first_step=fault or _data_first(causes),
            ruled_out={name: _figure(found) for name, found in causes.ruled_out.items()},
            marks=case.marks,
            untried=untried,
        )
    )


def _data_first(causes: Causes) -> str:
    """What is to be done to the training data before any fix, where that is the first cause."""
    first = causes.proved[0] if causes.proved else None
    if first is None or first.stage != "data":
        return ""
    return discover()[first.id].data_first


def gate_evidence(gate: Causes) -> tuple[Evidence, ...]:
    """What was found; else what was looked for."""
    if gate.ranked:
        return tuple(evidence for cause in gate.ranked for evidence in cause.evidence)
    looked = len(gate.ruled_out)
    evidence = [Evidence("faults looked for and not found", str(looked), "faults")]
    for name, found in gate.ruled_out.items():
        figure = _figure(found)
        if figure:
            evidence.append(Evidence(name, figure))
    evidence += [Evidence(one.cause, f"not tested: {one.needs}") for one in gate.not_tested]
    return tuple(evidence)


def _figure(finding: Finding) -> str:
    """Give the figure that rules a cause out, beside its threshold."""
    for row in finding.evidence:
        if isinstance(row.value, float) and isinstance(row.threshold, float):
            return f"{row.name}: {row.value:.2f}{row.after} (threshold {row.threshold:g})"
    return ""


def mends_of(causes: Causes) -> tuple[str, ...]:
    """How to mend what was proved; where nothing was, how to decide on what is suspected."""
    if causes.proved:
        return tuple(cause.mend for cause in causes.proved)
    told = []
    for cause in causes.ranked:
        decided_by = discover()[cause.id].decided_by
        if decided_by:
            told.append(f"{cause.id} is suspected; to decide: {decided_by}")
    return tuple(told)


def _signal(case: DiagnosisContext) -> tuple[SignalPlace, ...]:
    try:
        places = case.probes.signal
    except ProbeFailed:
        return ()
    return tuple(SignalPlace(place.place, place.share) for place in places)


def pick_examples(case: Planned, trial: Trial | None) -> tuple[dict[str, str], ...]:
    """Pick clips spread over the folder, each with its greedy caption and that of a trial."""
    tried = () if trial is None else case.trials.captions(trial)
    other = {caption.file_name: caption.text for caption in tried}
    captions = case.clips.captions
    pool = [c for c in captions if c.file_name in other] or list(captions)
    step = max(1, len(pool) // EXAMPLES)
    rows = []
    for caption in pool[::step][:EXAMPLES]:
        row = {"file_name": caption.file_name, "greedy": caption.text}
        if trial is not None:
            row[trial.name] = other[caption.file_name]
        rows.append(row)
    return tuple(rows)
