"""``input.overflow``: loud clips give numbers that are none, or a default that hides them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.core.thresholds import FREED_SHARE, LOUDER, STUCK_SHARE
from capfix_cli.diagnosis.causes.cause_spec import CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.finding import (
    OVER_FEATURES,
    Finding,
    against_threshold,
    not_tested,
)
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.diagnosis.repairs.repair import Repair
from capfix_cli.probes.captioner_variants import on_waveforms
from capfix_cli.schemas.clip_records import SkippedClip
from capfix_cli.schemas.measured_values import Evidence

if TYPE_CHECKING:
    from torch import Tensor

ID = "input.overflow"


def _lost(lost: Sequence[SkippedClip], whole: int, visible: Evidence) -> Finding:
    """Tell of clips that were left out since nothing of theirs is a finite number."""
    shown = ", ".join(clip.path for clip in lost[:3])
    return Finding(
        ID,
        0.9,
        (visible, Evidence("the first of these clips", shown)),
        mend=f"Find where numbers stop being finite: {len(lost)} of {whole} clips give none;"
        " half precision on loud sound, or a logarithm or a division by nought on silence",
        proved=True,
    )


def find(case: DiagnosisContext) -> Finding:
    """Look for clips that share one answer to the bit, and turn them down."""
    lost = [c for c in case.clips.audio.skipped if c.kind == "non-finite-scores"]
    whole = case.clips.audio.clips + len(lost)
    share = len(lost) / max(1, whole)
    visible = Evidence(
        "clips whose scores are not finite numbers",
        share,
        "share of clips",
        0.0,
        "a network whose numbers do not overflow has none",
    )
    if lost and case.finite:
        return _lost(lost, whole, visible)
    if not case.ill:
        return Finding(ID, 0.0, (visible,))
    if case.over_features:
        return not_tested(ID, f"{OVER_FEATURES}, whose loudness is not known")
    try:
        found = case.probes.overflow
    except ProbeFailed as reason:
        return not_tested(ID, reason.needs)
    share = len(found.stuck) / found.clips
    evidence = (
        against_threshold(
            "clips that share one answer to the bit, or whose memory is huge",
            share,
            STUCK_SHARE,
        ),
        against_threshold(
            "pairs of clips in which those are the louder ones", found.louder, LOUDER
        ),
        Evidence(
            "clips of these that are given answers of their own when 20 decibels quieter",
            len(found.freed) / max(1, len(found.stuck)),
            FREED_SHARE.unit,
            FREED_SHARE.value,
            FREED_SHARE.source,
        ),
    )
    stuck = share >= STUCK_SHARE.value
    freed = len(found.freed) >= FREED_SHARE.value * max(1, len(found.stuck))
    # Where features are levelled clip by clip, turning sound down changes nothing: a memory out of
    # range and no words of its own are enough.
    beyond = found.huge and found.speechless
    loud = found.louder >= LOUDER.value
    which = ", the louder ones," if loud else ""
    told = f"{len(found.stuck)} of {found.clips} clips{which} get no numbers of their own"
    return Finding(
        ID,
        0.95 if stuck and (freed or beyond) else 0.0,
        evidence,
        mend=_mend(told),
        # A front end that makes features smaller hides it as well.
        explains=CAUSE.explains if beyond else (),
        # Else the mend decides: what is turned down may also come into a range that it knows.
        proved=loud or found.huge,
    )


def _mend(why: str) -> str:
    return (
        f"Keep numbers in range: {why}; compute in float32 or bfloat16, or scale the input, and do"
        " not put a default in the place of NaN"
    )


def _turned_down(case: DiagnosisContext, checkpoint: str) -> Iterator[Repair]:
    """Turn every clip down: those that overflow then do not."""
    from capfix_cli.probes.overflow import QUIETER

    def softer(samples: Tensor) -> Tensor:
        return QUIETER * samples

    yield Repair(
        ID,
        "all clips 20 dB quieter",
        "model.float() in place of model.half(), or scale the samples down",
        on_waveforms(case.captioner, softer),
    )


CAUSE = CauseSpec(
    id=ID,
    order=35,
    gate=True,
    find=find,
    needs=("overflow",),
    explains=(
        "vocabulary.*",
        "decoder.*",
        "decoding.*",
        "conditioning.*",
        "input.feature-scale",
        "training.*",
    ),
    mend="Keep numbers in range: loud clips overflow",
    repair=_turned_down,
    docs=CauseDocs(
        symptom="some clips, the loud ones, get an empty or a fixed caption.",
        experiment=(
            "clips whose memory is a thousand times the usual one, or whose next words are not "
            "finite or the same to the bit as others', are asked again 20 dB quieter."
        ),
        read="no sound network gives two clips the same numbers to the bit.",
        mend="float32 or bfloat16 for what overflows; `nan_to_num` hides it only.",
        sources="public threads (SCIENCE section 8).",
    ),
)
