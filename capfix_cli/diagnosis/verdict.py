"""The verdict: do captions differ, does the audio decide them, and are they sentences?"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from capfix_cli.captions.captions_file import printable
from capfix_cli.core.errors import CapfixError
from capfix_cli.core.thresholds import LISTENING_SHARE, MIN_CLIPS
from capfix_cli.measures.measure_table import Judgement
from capfix_cli.measures.sentences import SentenceJudgement, judge_sentences
from capfix_cli.schemas.clip_records import ClipCaption, SkippedClip, count_reasons
from capfix_cli.schemas.measured_values import Axis, Evidence, Listening, Verdict


@dataclass(frozen=True)
class Decision:
    """A verdict and the comparisons behind it.

    Attributes:
        verdict: one of the five.
        differ: whether captions differ between clips as healthy ones do.
        decides: whether the audio decides them; None where listening was not measured.
        evidence: what was compared.
        sentences: whether captions are sentences.
        axes: ``differ``, ``decides`` where it was measured, and ``sentences``, with intervals.
        close_to: verdicts that the intervals do not rule out; empty where the verdict is clear.
        degenerate: what is wrong with captions as sentences, in words; empty for nothing.
    """

    verdict: Verdict
    differ: bool
    decides: bool | None
    evidence: tuple[Evidence, ...]
    sentences: bool = True
    axes: Mapping[str, Axis] = field(default_factory=dict)
    close_to: tuple[Verdict, ...] = ()
    degenerate: str = ""


def decide(
    diversity: Judgement,
    listening: Listening | None,
    sentences: SentenceJudgement | None = None,
) -> Decision:
    """Combine the three axes; without listening the audio counts as unheard only where it repeats.

    Args:
        diversity: whether captions differ.
        listening: whether the audio decides them, or None.
        sentences: whether they are sentences; taken to be where None.
    """
    return combine(
        diversity,
        None if listening is None else listening_axis(listening),
        sentences,
        # Without listening, repeated captions may be bland or deaf.
        deaf=True,
    )


def combine(
    diversity: Judgement, heard: Axis | None, sentences: SentenceJudgement | None, *, deaf: bool
) -> Decision:
    """Make a verdict of the axes, and say which others their intervals do not rule out.

    Args:
        diversity: whether captions differ.
        heard: whether the audio decides, or None.
        sentences: whether they are sentences, or None.
        deaf: whether captions that repeat count as collapsed where nobody listened.
    """
    axes = {"differ": diversity.axis}
    answers: list[tuple[bool, ...]] = [_answers(diversity.axis, diversity.differ)]
    if heard is not None:
        axes["decides"] = heard
        answers.append(_answers(heard, heard.fulfilled))
    else:
        answers.append((not deaf or diversity.differ,))
    if sentences is not None:
        axes["sentences"] = sentences.axis
        answers.append(_answers(sentences.axis, sentences.are))
    else:
        answers.append((True,))
    # The first of all is the verdict itself, each axis as it was measured.
    possible = list(dict.fromkeys(_name(*each) for each in itertools.product(*answers)))
    evidence = diversity.evidence
    if heard is not None:
        evidence = (*evidence, heard.evidence)
    if sentences is not None:
        evidence = (*evidence, sentences.axis.evidence)
    return Decision(
        possible[0],
        diversity.differ,
        None if heard is None else heard.fulfilled,
        evidence,
        sentences is None or sentences.are,
        axes,
        tuple(possible[1:]),
        "" if sentences is None or sentences.are else sentences.told,
    )


def _answers(axis: Axis, fulfilled: bool) -> tuple[bool, ...]:
    return (fulfilled, not fulfilled) if axis.close else (fulfilled,)


def _name(differ: bool, decides: bool, sentences: bool) -> Verdict:
    """The design's table of verdicts."""
    if not differ and not decides:
        return "collapsed"
    if not sentences:
        return "degenerate"
    if differ:
        return "healthy" if decides else "ungrounded"
    return "generic"


def sentences_of(
    captions: Sequence[ClipCaption], references: Mapping[str, Sequence[str]] | None
) -> SentenceJudgement:
    """Judge decoded captions as sentences, beside the references of all clips."""
    return judge_sentences(
        [caption.text for caption in captions],
        [caption.ended for caption in captions],
        None if references is None else list(references.values()),
    )


def audio_decides(listening: Listening) -> bool:
    """Say whether the audio decides the caption: bits reach their share of the ceiling."""
    return listening.deciding_bits >= LISTENING_SHARE.value * listening.ceiling_bits


def listening_axis(listening: Listening) -> Axis:
    """Show the bits that decide, with their interval, beside their threshold."""
    on = "own captions" if listening.deciding_bits == listening.bits else "references"
    low, high = listening.deciding_interval
    return Axis(
        listening.deciding_bits,
        low,
        high,
        LISTENING_SHARE.value * listening.ceiling_bits,
        f"{LISTENING_SHARE.value:g} {LISTENING_SHARE.unit}: {LISTENING_SHARE.source}",
        f"listening on {on}",
        f"bits of {listening.ceiling_bits:.2f}",
    )


def require_enough(usable: int, skipped: Sequence[SkippedClip]) -> None:
    """Refuse to judge a captioner by a handful of clips.

    Raises:
        CapfixError: says how many more are needed.
    """
    needed = int(MIN_CLIPS.value)
    if usable >= needed:
        return
    left = f" ({printable(count_reasons(skipped))})" if skipped else ""
    raise CapfixError(
        f"A verdict needs at least {needed} usable clips and there are {usable}{left}.",
        f"Add {needed - usable} more.",
    )
