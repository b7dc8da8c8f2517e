"""The verdict on captions alone, where there is no captioner to listen to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from capfix_cli.core.errors import CapfixError
from capfix_cli.core.text import split_words
from capfix_cli.core.thresholds import IDENTIFICATION, MIN_CLIPS, PEOPLE_IDENTIFICATION
from capfix_cli.diagnosis.verdict import Decision, combine
from capfix_cli.measures.intervals import bootstrap_interval
from capfix_cli.measures.measure_table import Judgement
from capfix_cli.measures.reference_listening import (
    AMONG,
    OwnAndShuffled,
    own_and_shuffled,
)
from capfix_cli.measures.sentences import SentenceJudgement
from capfix_cli.schemas.measured_values import Axis
from capfix_cli.schemas.measurement import ReferenceListening


def listen_by_references(
    captions: Sequence[str], references: Sequence[Sequence[str]], seed: int
) -> tuple[ReferenceListening, OwnAndShuffled] | None:
    """Measure listening from references; None where fewer than 20 clips have any.

    Args:
        captions: one a clip.
        references: for each clip; empty where it has none.
        seed: of pairings and intervals.
    """
    pairs = [pair for pair in zip(captions, references, strict=True) if pair[1]]
    if len(pairs) < AMONG:
        return None
    held = own_and_shuffled(
        [split_words(text) for text, _ in pairs],
        [[split_words(text) for text in texts] for _, texts in pairs],
        seed,
    )
    low, high = bootstrap_interval(held.found, seed)
    ratio = held.ratio_interval(seed) if held.ratio is not None else None
    people, at_most = None, None
    if held.people is not None:
        people = float(held.people.mean())
        _, at_most = bootstrap_interval(held.people, seed)
    return ReferenceListening(
        bits=None,
        identification=held.identification,
        low=low,
        high=high,
        chance=1 / AMONG,
        needed=needed_identification(at_most),
        people=people,
        ratio=held.ratio,
        ratio_low=ratio[0] if ratio else None,
        ratio_high=ratio[1] if ratio else None,
        clips=len(pairs),
    ), held


def needed_identification(people: float | None) -> float:
    """Give the identification from which the audio decides.

    Where people's own captions surely find their clip less often than those of Clotho and
    AudioCaps do, as in a world of few sentences, the same part of what they have above chance is
    asked.

    Args:
        people: upper end of the interval of people's identification; None where it is not known.
    """
    chance, usual = 1 / AMONG, IDENTIFICATION.value
    if people is None:
        return usual
    part = (usual - chance) / (PEOPLE_IDENTIFICATION.value - chance)
    # Never so near to chance that a deaf captioner would meet it by luck.
    return float(np.clip(chance + part * (people - chance), 1.5 * chance, usual))


def judge_captions(
    diversity: Judgement,
    listening: ReferenceListening | None,
    sentences: SentenceJudgement | None = None,
) -> Decision:
    """Combine the three axes.

    Without listening, captions that repeat are ``collapsed`` only where they repeat as those of
    collapsed captioners do, else ``generic``; and captions that differ count as ``healthy``.
    """
    heard = None if listening is None else reference_axis(listening)
    return combine(diversity, heard, sentences, deaf=diversity.grave)


def reference_axis(listening: ReferenceListening) -> Axis:
    """Show how often captions find their clip by its references, beside what is asked."""
    source = IDENTIFICATION.source
    if listening.needed < IDENTIFICATION.value and listening.people is not None:
        source += f"; people's captions find {listening.people:.2f} here and not .73: less is asked"
    return Axis(
        listening.identification,
        listening.low,
        listening.high,
        listening.needed,
        source,
        "captions that find their clip among 20",
        "share of captions",
    )


def require_enough_captions(path: str, clips: int) -> None:
    """Refuse to judge a handful of captions.

    Raises:
        CapfixError: says how many more are needed.
    """
    needed = int(MIN_CLIPS.value)
    if clips < needed:
        raise CapfixError(
            f"A verdict needs at least {needed} usable clips and {path} has {clips}.",
            f"Add {needed - clips} more.",
        )
