"""Repairs applied and measured, kept or rejected by the same two axes as decoding fixes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.decoding.encode_pass import encode_and_caption
from capfix_cli.diagnosis.causes.cause_spec import CauseSpec
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.diagnosis.repairs.repair import Repair
from capfix_cli.diagnosis.trials.decoding_evaluator import DecodingEvaluator, DecodingOutcome
from capfix_cli.diagnosis.verdict import audio_decides
from capfix_cli.probes.pair_scoring import Scorer
from capfix_cli.schemas.diagnosis_record import Trial
from capfix_cli.schemas.measured_values import Listening, Measure, Verdict

FIX = "0"  # the plan's row of what comes before all fixes
MAX_REPAIR_CLIPS = 96  # clips of a repair's trial, which must be encoded anew: a fifth of 500
_RANKS = {"healthy": 3, "generic": 2, "ungrounded": 1, "collapsed": 0}


@dataclass(frozen=True, kw_only=True)
class RepairTrial:
    """One repair applied to the captioner and measured.

    Attributes:
        cause: that it mends.
        name: in words.
        change: the line to change in one's own code.
        measures: of the repaired captioner's captions.
        listening: of them.
        verdict: on them.
        kept: whether it works.
        reason: why it was kept or not, in words.
        clips: on how many it was tried.
    """

    cause: str
    name: str
    change: str
    measures: Mapping[str, Measure]
    listening: Listening
    verdict: Verdict
    kept: bool
    reason: str
    clips: int

    @property
    def record(self) -> Trial:
        """The same as version 1 of the diagnosis's schema lists it, among the trials."""
        return Trial(
            fix=FIX,
            name=self.name,
            decoding={},
            measures=dict(self.measures),
            listening=self.listening,
            verdict=self.verdict,
            kept=self.kept,
            reason=self.reason,
            outcome="kept" if self.kept else "repeats",
            clips=self.clips,
            repair=self.change,
        )


def repairs_for(spec: CauseSpec, case: DiagnosisContext) -> Iterator[Repair]:
    """List what can be tried against a cause, the likeliest first; none where its probes fail."""
    if spec.repair is None:
        return
    try:
        yield from spec.repair(case, case.loaded.summary.path)
    except ProbeFailed:
        return


def try_repair(repair: Repair, case: DiagnosisContext) -> RepairTrial | None:
    """Encode and caption a part of the clips with the repaired captioner, and judge it.

    Args:
        repair: what to try.
        case: the captioner as it is.

    Returns:
        None where the repaired captioner cannot be judged.
    """
    most = min(case.evaluator.scale.clips, MAX_REPAIR_CLIPS)
    with repair.applied():
        clips = encode_and_caption(
            repair.captioner,
            case.clips.clip_set,
            batch_size=1 if repair.one_by_one else 16,
            seed=case.seed,
            sample=most,
            only_sample=True,
        )
        if not clips.finite or len(clips.captions) < 2:
            return None
        scorer = Scorer(repair.captioner, clips.chunks)
        after = DecodingEvaluator(scorer, case.references, case.seed).judge(clips.captions)
    kept, reason = _judge(case, after)
    return RepairTrial(
        cause=repair.cause,
        name=repair.name,
        change=repair.line,
        measures=after.measures,
        listening=after.listening,
        verdict=after.decision.verdict,
        kept=kept,
        reason=reason,
        clips=len(clips.captions),
    )


def _judge(case: DiagnosisContext, after: DecodingOutcome) -> tuple[bool, str]:
    """Keep what listens, and is better than before or no worse without the fault."""
    before = case.listening
    new = after.listening
    bits = f"{new.deciding_bits:.2f} of {new.ceiling_bits:.2f} bits"
    was = case.decision.verdict
    change = f"{was} before, {after.decision.verdict} with it"
    if not audio_decides(new):
        return False, f"it still does not listen ({bits}); {change}"
    if before is None:
        return True, f"it listens ({bits}); {change}"
    better = _RANKS[after.decision.verdict] >= _RANKS[was]
    share = new.deciding_bits / new.ceiling_bits
    # Some faults are noise, which reads as diversity: without it captions may well differ less.
    if share < (0.9 if better else 1.0) * case.listening_share:
        return False, f"it listens no more than before ({bits}); {change}"
    return True, (
        f"listening went from {before.deciding_bits:.2f} of {before.ceiling_bits:.2f} bits to"
        f" {bits}; {change}"
    )
