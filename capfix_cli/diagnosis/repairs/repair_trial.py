"""Repairs applied and measured, kept or rejected by the same two axes as decoding fixes."""

from __future__ import annotations

from capfix_cli.decoding.encode_pass import encode_and_caption
from capfix_cli.diagnosis.causes.finding import DiagnosisContext
from capfix_cli.diagnosis.repairs.repair_kinds import Repair
from capfix_cli.diagnosis.trials.decoding_evaluator import (
    DecodingEvaluator,
    DecodingOutcome,
    References,
)
from capfix_cli.diagnosis.verdict import audio_decides
from capfix_cli.probes.pair_scoring import Scorer
from capfix_cli.schemas.records import Trial

FIX = "0"  # the plan's row of what comes before all fixes
MAX_REPAIR_CLIPS = 96  # clips of a repair's trial, which must be encoded anew: a fifth of 500
_RANKS = {"healthy": 3, "generic": 2, "ungrounded": 1, "collapsed": 0}


def try_repair(
    repair: Repair,
    case: DiagnosisContext,
    folder: str,
    references: References | None,
    clips: int,
    seed: int,
) -> Trial | None:
    """Encode and caption a part of the clips with the repaired captioner, and judge it.

    Args:
        repair: what to try.
        case: the captioner as it is.
        folder: of the clips.
        references: clip name -> references, or None.
        clips: on how many, 96 at most.
        seed: of the clips' choice and of contrast sets.

    Returns:
        None where the repaired captioner cannot be judged.
    """
    most = min(clips, MAX_REPAIR_CLIPS)
    with repair.applied():
        heard = encode_and_caption(
            repair.captioner,
            folder,
            batch_size=1 if repair.one_by_one else 16,
            seed=seed,
            sample=most,
            only_sample=True,
        )
        if not heard.finite or len(heard.captions) < 2:
            return None
        evaluator = DecodingEvaluator(Scorer(repair.captioner, heard.chunks), references, seed)
        after = evaluator.judge(heard.captions)
    kept, reason = _judge(case, after)
    return Trial(
        fix=FIX,
        name=repair.name,
        decoding={},
        measures=after.measures,
        listening=after.listening,
        verdict=after.decision.verdict,
        kept=kept,
        reason=reason,
        outcome="kept" if kept else "repeats",
        clips=len(heard.captions),
        repair=repair.line,
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
    if share < (0.9 if better else 1.0) * case.heard:
        return False, f"it listens no more than before ({bits}); {change}"
    return True, (
        f"listening went from {before.deciding_bits:.2f} of {before.ceiling_bits:.2f} bits to"
        f" {bits}; {change}"
    )
