"""Other prompts for a captioner that takes one: chosen on some clips, to be judged on others."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.captioners.text.text_captioner import GivenClip, Wish
from capfix_cli.core.thresholds import MIN_CLIPS
from capfix_cli.diagnosis.text.text_verdict import TextOutcome, judge_text
from capfix_cli.schemas.clip_records import ClipCaption

if TYPE_CHECKING:
    from capfix_cli.diagnosis.text.text_context import TextContext

CHOSEN_ON = 24  # clips that prompts are chosen on; the others of the sample judge the best
# What instruction-tuned audio models are told in their own cards and papers, from short to strict.
PROMPTS = (
    "Describe the sound.",
    "Write an audio caption for this clip.",
    "Listen to the audio. What sounds are heard, and from which sources? Answer in one sentence.",
    "Describe only what can be heard in this recording, in one sentence of at most 20 words.",
)


def best_prompt(case: TextContext) -> str | None:
    """Choose a prompt on a part of the clips, by what the audio decides; None for no better."""
    sample = case.probes.sample[:CHOSEN_ON]
    left = len(case.probes.sample) - len(sample)
    if left < MIN_CLIPS.value or len(sample) < MIN_CLIPS.value:
        return None
    before = _merit(judged_on(case, case.wish, sample))
    best, most = None, before
    for prompt in PROMPTS:
        if prompt == case.wish.prompt:
            continue
        with contextlib.suppress(ProbeFailed):
            merit = _merit(judged_on(case, replace(case.wish, prompt=prompt), sample))
            if merit > most:
                best, most = prompt, merit
    return best


def _merit(outcome: TextOutcome) -> tuple[bool, int, float]:
    """Rank by the verdict, then by the axes fulfilled, then by listening."""
    axes = outcome.decision.axes.values()
    bits = 0.0 if outcome.listening is None else outcome.listening.bits
    return (
        outcome.decision.verdict == "healthy",
        sum(axis.fulfilled for axis in axes),
        bits,
    )


def judged_on(
    case: TextContext, wish: Wish, clips: Sequence[GivenClip], *, alone: bool = False
) -> TextOutcome:
    """Ask about some clips and their copies in one way, and judge what is said.

    Raises:
        ProbeFailed: it is not asked so.
    """
    probes = case.probes
    said = probes.said_alone(clips, wish) if alone else probes.said_of(clips, wish)
    captions = [ClipCaption(name, said[name]) for name in sorted(said)]
    if len(captions) < 2:
        raise ProbeFailed("a captioner that can be asked otherwise")
    copies = probes.copies_of(clips, wish, alone=alone)
    return judge_text(captions, copies, case.references, case.seed, ends_known=False)
