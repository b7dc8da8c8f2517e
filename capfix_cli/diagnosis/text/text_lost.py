"""Where a captioner that gives text alone loses the audio, as far as its answers tell."""

from __future__ import annotations

from collections.abc import Sequence

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.core.thresholds import SILENT_SHARE
from capfix_cli.diagnosis.text.text_context import TextContext
from capfix_cli.diagnosis.unexplained import failing_axes
from capfix_cli.diagnosis.verdict import audio_decides
from capfix_cli.schemas.diagnosis_record import Cause

SELDOM = 0.5  # of clips: most captions are others when nothing that is heard has changed


def find_lost_in_text(case: TextContext, causes: Sequence[Cause]) -> str:
    """Name the place as far as answers tell it; empty where nothing fails.

    Args:
        case: the captioner.
        causes: those found, suspicions among them.
    """
    failing = failing_axes(case)
    listening = case.listening
    if listening is None and "differ" in failing:
        return "not known: captions repeat, and whether the audio decides them could not be asked"
    if listening is not None and not audio_decides(listening):
        return _not_followed(case)
    if "decides" in failing and listening is not None:
        return "words: captions follow the audio, and they do not fit the references of their clips"
    if "decides" in failing:
        return "not known: captions fit other clips' references as well as their own"
    if "sentences" in failing:
        return f"words: the audio decides the captions, and {case.decision.degenerate}"
    return "words: the audio decides the captions, and they repeat" if failing else ""


def _not_followed(case: TextContext) -> str:
    """Say what decides captions that do not follow the audio."""
    probes = case.probes
    try:
        if probes.repeated.share < SELDOM:
            return (
                "decoding: asked twice about one clip it says something else"
                f" ({probes.repeated.clips - probes.repeated.kept} of {probes.repeated.clips})"
            )
        if probes.asker.captioner.by_file and probes.renamed.share < SELDOM:
            return (
                "the file: captions change with a clip's name or format, its sound being the same"
            )
        if probes.of_silence.share >= SILENT_SHARE.value:
            return "between audio and words: silence is captioned as most clips are"
    except ProbeFailed:
        pass
    if case.decision.differ:
        return (
            "between audio and words: captions change with inaudible changes as they do with"
            " another clip"
        )
    return "between audio and words: every clip is captioned alike"
