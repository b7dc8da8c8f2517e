"""From captions alone to verdict, causes, tree, trials and plan: the steps, in order.

A captioner that gives text is asked, never opened; whatever would take its scores, its memory or
its weights is told as not tested, with what a test would need.
"""

from __future__ import annotations

from collections.abc import Sequence

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.captioners.text.endpoint_captioner import EndpointCaptioner
from capfix_cli.diagnosis.causes import discover
from capfix_cli.diagnosis.causes.finding import not_tested
from capfix_cli.diagnosis.decision_tree import Observations, Walk, walk
from capfix_cli.diagnosis.diagnose import (
    REPAIRED,
    DiagnosisResult,
    first_fault,
    gate_evidence,
    mends_of,
    pick_examples,
    plan_of,
)
from capfix_cli.diagnosis.ranking import Causes, rank
from capfix_cli.diagnosis.repairs.repair_trial import RepairTrial
from capfix_cli.diagnosis.text.text_context import TextContext
from capfix_cli.diagnosis.text.text_lost import find_lost_in_text
from capfix_cli.diagnosis.text.text_repairs import text_repairs, try_text_repair
from capfix_cli.diagnosis.unexplained import lost_at, with_unknown
from capfix_cli.probes.text_probes import KeptShare
from capfix_cli.schemas.asked_record import Asked, AskedProbe

HEARD_APART = "clips that can be heard apart"
# What a test of a stage's causes would need, where text is all that there is.
NEEDS = {
    "input": "the features that it computes",
    "weights": "the checkpoint",
    "evaluation": "the network itself",
    "vocabulary": "its vocabulary and next-word scores",
    "wiring": "the network itself",
    "encoder": "the encoder's memory",
    "conditioning": "next-word scores",
    "decoder": "next-word scores",
    "decoding": "next-word scores",
    "training": "next-word scores",
}
ASKED = (
    ("repeated", "same clip, asked twice: captions that stay"),
    ("renamed", "same sound, another file name: captions that stay"),
    ("softer", "20 dB softer: captions that stay"),
    ("exchanged", "halves exchanged: captions that stay"),
    ("alone", "one by one, not with others: captions that stay"),
    ("reordered", "among other neighbours: captions that stay"),
    ("of_silence", "clips that are captioned as silence is"),
)


def run_text_diagnosis(case: TextContext) -> DiagnosisResult:
    """Judge a captioner by asking it: integrity and repairs first, then tree, causes and plan."""
    decision = case.decision
    gate = _check_integrity(case)
    repairs = _try_repairs(case, gate)
    gate = rank(gate.findings, repairs)
    fault = first_fault(gate)
    walked = _walk_tree(case, gate, repairs, fault)
    causes = _find_causes(case, gate, repairs)
    plan = plan_of(case, causes, repairs, fault, untried=case.trials.untried)
    trials, best = case.trials.made, case.trials.best
    told = with_unknown(case, causes, find_lost_in_text)
    return DiagnosisResult(
        decision=decision,
        listening=case.listening,
        walk=walked,
        trials=trials,
        best=best,
        causes=told,
        plan=plan,
        examples=pick_examples(case, best or next(iter(trials), None)),
        not_tested=causes.not_tested,
        mends=mends_of(causes),
        repairs=tuple(repairs),
        lost_at=lost_at(case, told, find_lost_in_text),
    )


def _check_integrity(case: TextContext) -> Causes:
    """Look for faults of input and evaluation; where there is no audio, for that alone."""
    specs = {name: spec for name, spec in discover().items() if spec.gate}
    first = [spec.from_text(case) for spec in specs.values() if spec.final and spec.from_text]
    silent = rank(first)
    known = {finding.id: finding for finding in first}
    findings = []
    for name, spec in specs.items():
        if name in known:
            findings.append(known[name])
        elif spec.from_text is None:
            findings.append(not_tested(name, NEEDS[spec.stage]))
        elif silent.ranked:
            findings.append(not_tested(name, HEARD_APART))
        else:
            findings.append(spec.from_text(case))
    return rank(findings)


def _alone(gate: Causes) -> bool:
    return any(discover()[cause.id].final for cause in gate.ranked)


def _try_repairs(case: TextContext, gate: Causes) -> list[RepairTrial]:
    """Ask for what mends the causes found: each cause's mends until one works."""
    made: list[RepairTrial] = []
    if _alone(gate):
        return made
    for cause in gate.ranked[:REPAIRED]:
        for repair in text_repairs(cause.id, case):
            case.progress("trying repairs", len(made), len(made) + 1)
            trial = try_text_repair(repair, case)
            if trial is not None:
                made.append(trial)
                if trial.kept:
                    break
    return made


def _walk_tree(case: TextContext, gate: Causes, repairs: Sequence[RepairTrial], fault: str) -> Walk:
    """Walk the tree, asking for the decodings that the captioner takes."""
    proved = {cause.id for cause in gate.proved}
    return walk(
        Observations(
            faults=fault,
            fault_evidence=gate_evidence(gate),
            decision=case.decision,
            repairs=tuple(trial for trial in repairs if trial.cause in proved),
            run_trial=case.trials.run,
            blocked=case.trials.blocked,
        )
    )


def _find_causes(case: TextContext, gate: Causes, repairs: Sequence[RepairTrial]) -> Causes:
    """Add the causes that training captions and trials tell; all others are not tested."""
    found = []
    for name, spec in discover().items():
        if spec.gate:
            continue
        if spec.from_text is None:
            found.append(not_tested(name, NEEDS[spec.stage]))
        elif _alone(gate):
            found.append(not_tested(name, HEARD_APART))
        else:
            found.append(spec.from_text(case))
    return rank([*gate.findings, *found], repairs)


def asked_of(case: TextContext) -> Asked:
    """Say how the captioner was asked, and what experiments showed; makes those left to make."""
    probes, notes = [], case.probes
    for name, what in ASKED:
        try:
            found: KeptShare = getattr(notes, name)
        except ProbeFailed:
            continue
        low, high = found.interval
        probes.append(AskedProbe(name, what, found.share, low, high, found.clips))
    try:
        silence: str | None = notes.silence
        noises = tuple(notes.noises)
    except ProbeFailed:
        silence, noises = None, ()
    asker, captioner = case.asker, case.asker.captioner
    count = asker.count
    remote = captioner if isinstance(captioner, EndpointCaptioner) else None
    return Asked(
        kind=case.summary.format,
        source=case.summary.path,
        prompt=case.wish.prompt,
        calls=count.calls,
        retries=count.retries,
        from_kept=count.from_kept,
        calls_a_clip=count.calls / max(1, len(case.clips.captions)),
        seconds=count.seconds,
        sent=remote.sent / 1e6 if remote is not None else 0.0,
        left_out=tuple(sorted(remote.left_out)) if remote is not None else (),
        probes=tuple(probes),
        of_silence=silence,
        of_noise=noises,
    )
