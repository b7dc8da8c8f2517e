"""What no proved cause explains: said as such, with the place where audio or words are lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.core.thresholds import DEAF_NATS, LISTENING_SHARE, MEMORY_SHARE, SIGNAL_DEAD
from capfix_cli.diagnosis.causes import discover
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.diagnosis.judged_captions import JudgedCaptions
from capfix_cli.diagnosis.ranking import UNKNOWN, Causes
from capfix_cli.schemas.diagnosis_record import Cause
from capfix_cli.schemas.measured_values import Evidence

Judged = TypeVar("Judged", bound=JudgedCaptions)


def failing_axes(case: JudgedCaptions) -> set[str]:
    """Name the axes of the verdict that are not fulfilled."""
    return {name for name, axis in case.decision.axes.items() if not axis.fulfilled}


def with_unknown(
    case: Judged, causes: Causes, find_place: Callable[[Judged, Sequence[Cause]], str]
) -> tuple[Cause, ...]:
    """Put ``unknown`` first where nothing that was proved accounts for all that fails.

    Args:
        case: the captioner.
        causes: those found.
        find_place: follows audio and words to the place where they are lost.
    """
    if not case.ill or "healthy" in case.decision.close_to:
        return causes.ranked
    specs = discover()
    left = failing_axes(case)
    for cause in causes.proved:
        left -= set(specs[cause.id].accounts_for)
    if not left and causes.proved:
        return causes.ranked
    place = find_place(case, causes.ranked)
    likeliest = max((cause.confidence for cause in causes.ranked), default=0.0)
    evidence = [Evidence("lost at", place)] if place else []
    evidence += [
        Evidence(f"suspected: {cause.id}", cause.confidence, "confidence")
        for cause in causes.ranked[:3]
    ]
    unknown = Cause(
        id=UNKNOWN,
        stage=UNKNOWN,
        confidence=1.0 - likeliest,
        evidence=tuple(evidence),
        mend="Not known: no mend that was tried restores most of what is missing",
    )
    return (*causes.proved, unknown, *causes.ranked[len(causes.proved) :])


def lost_at(
    case: Judged, causes: Sequence[Cause], find_place: Callable[[Judged, Sequence[Cause]], str]
) -> str | None:
    """Name the place where audio or words are lost; None where nothing fails.

    The stage of a proved cause is that place; else it is looked for along the path.
    """
    if not case.ill:
        return None
    first = causes[0] if causes else None
    if first is not None and first.status == "proved":
        return first.stage
    return find_place(case, causes) or None


def find_lost(case: DiagnosisContext, causes: Sequence[Cause]) -> str:
    """Follow audio and words along the path to the first place that does not carry them.

    Args:
        case: the captioner.
        causes: those found, suspicions among them.
    """
    if not case.finite:
        return "numbers: scores or weights are not finite"
    failing = failing_axes(case)
    if "decides" in failing or (case.listening is None and "differ" in failing):
        return _audio_lost(case, causes)
    if "sentences" in failing:
        return f"decoder: the audio decides the captions, and {case.decision.degenerate}"
    return "decoding: the audio decides the captions, and they repeat"


def _audio_lost(case: DiagnosisContext, causes: Sequence[Cause]) -> str:
    try:
        shares = {place.place: place.share for place in case.probes.signal}
    except ProbeFailed:
        shares = {}
    alive = [
        name
        for name, share in shares.items()
        if name.startswith("encoder ") and share >= MEMORY_SHARE.value
    ]
    where = f", {alive[-1]} still differs" if alive else ""
    misfit = any(cause.id == "input.feature-scale" for cause in causes)
    on_references = case.reference_listening_share
    own, heard = case.own_listening_share, LISTENING_SHARE.value
    places = (
        (
            shares.get("features", 1.0) < SIGNAL_DEAD.value,
            "input: features are the same for all clips",
        ),
        (
            shares.get("memory", 1.0) < MEMORY_SHARE.value,
            f"encoder: the memory is the same for all clips{where}",
        ),
        (
            on_references is not None and on_references >= heard > own,
            "decoding: references are heard, the captioner's own captions are not",
        ),
        (misfit, "input: features do not fit what the network remembers of its training"),
        (
            on_references is not None and own >= heard > on_references,
            "words: the audio decides the captions, and they fit no reference",
        ),
        (
            _still(case),
            "conditioning: the memory differs between clips, the next word does not",
        ),
    )
    first = next((told for holds, told in places if holds), "")
    return first or "decoder: the next word moves with the clip, the caption does not"


def _still(case: DiagnosisContext) -> bool:
    """Whether another clip's memory leaves the next word as it is."""
    try:
        return case.probes.conditioning.overall < DEAF_NATS.value
    except ProbeFailed:
        return False
