"""The verdict on a captioner that gives text alone: the same three axes, listened to by copies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from capfix_cli.core.thresholds import MIN_CLIPS
from capfix_cli.diagnosis.captions_verdict import listen_by_references, reference_axis
from capfix_cli.diagnosis.verdict import Decision, combine, listening_axis
from capfix_cli.measures.intervals import mean_interval
from capfix_cli.measures.measure_table import judge_diversity, measure_captions
from capfix_cli.measures.sentences import judge_sentences
from capfix_cli.measures.signature import signature
from capfix_cli.probes.text_listening import listen_to_copies
from capfix_cli.schemas.clip_records import ClipCaption
from capfix_cli.schemas.measured_values import Axis, Listening, Measure
from capfix_cli.schemas.measurement import ReferenceListening

References = Mapping[str, Sequence[str]]

NO_COPIES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class TextOutcome:
    """Captions of one way of asking, and everything measured on them.

    Attributes:
        captions: one a clip.
        measures: of them.
        listening: by copies; None for fewer than 20.
        on_references: by references; None for fewer than 20.
        decision: the verdict.
    """

    captions: tuple[ClipCaption, ...]
    measures: dict[str, Measure]
    listening: Listening | None
    on_references: ReferenceListening | None
    decision: Decision


def judge_text(
    captions: Sequence[ClipCaption],
    copies: Mapping[str, str],
    references: References | None,
    seed: int,
    *,
    ends_known: bool,
    milder: Mapping[str, str] = NO_COPIES,
) -> TextOutcome:
    """Measure and judge captions.

    Args:
        captions: one a clip, at least two.
        copies: clip name -> the caption of its altered copy.
        references: clip name -> references, or None.
        seed: of what is drawn.
        ends_known: whether the captions say if they came to their end.
        milder: captions of copies that were altered less. Where they alone follow the audio it is
            a close call: the captioner may hear, and bear no noise, or be deaf but for ties.
    """
    texts = [caption.text for caption in captions]
    people = None
    if references is not None:
        people = [references.get(caption.file_name, ()) for caption in captions]
    listening = None
    if len(copies) >= MIN_CLIPS.value:
        said = {caption.file_name: caption.text for caption in captions}
        listening = listen_to_copies(said, copies, seed)
        if listening is not None and len(milder) >= MIN_CLIPS.value:
            listening = _widened(listening, listen_to_copies(said, milder, seed))
    held = listen_by_references(texts, people, seed) if people is not None else None
    on_references = held[0] if held is not None else None
    sentences = judge_sentences(
        texts,
        [caption.ended for caption in captions] if ends_known else None,
        [texts for texts in people if texts] if people is not None else None,
    )
    diversity = judge_diversity(texts, people, seed)
    axes = _heard(listening, on_references)
    heard = min(axes, key=lambda axis: axis.value / axis.threshold, default=None)
    decision = combine(diversity, heard, sentences, deaf=diversity.grave)
    others = tuple(axis.evidence for axis in axes if axis is not heard)
    decision = replace(decision, evidence=(*decision.evidence, *others))
    return TextOutcome(
        tuple(captions),
        measure_text(captions, seed, ends_known=ends_known),
        listening,
        on_references,
        decision,
    )


def _widened(listening: Listening, milder: Listening | None) -> Listening:
    """Let the interval reach to what captions of milder copies carry."""
    if milder is None or milder.bits <= listening.high:
        return listening
    note = (
        f"{listening.note}; without faint noise in the copies {milder.bits:.2f} bits"
        f" ({milder.low:.2f} to {milder.high:.2f})"
    )
    return replace(listening, high=milder.high, note=note)


def _heard(listening: Listening | None, on_references: ReferenceListening | None) -> list[Axis]:
    """The axes on which the audio may decide; the verdict takes the one that fails most."""
    axes = []
    if listening is not None:
        axes.append(replace(listening_axis(listening), what="captions follow altered copies"))
    if on_references is not None:
        axes.append(reference_axis(on_references))
    return axes


def measure_text(
    captions: Sequence[ClipCaption], seed: int, *, ends_known: bool
) -> dict[str, Measure]:
    """Measure captions, leaving out what text does not tell: ends and log-probabilities."""
    table = measure_captions(captions, seed, drawn=False)
    table.pop("logprob_per_token", None)
    if not ends_known:
        table.pop("no_end", None)
    return table


def measure_logprob(logprobs: Sequence[tuple[float, int]]) -> dict[str, Measure]:
    """Measure log-probabilities a token, where the captioner gives them.

    Args:
        logprobs: of each caption that has any: their sum in nats, and how many tokens it has.
    """
    values = [total / count for total, count in logprobs if count and math.isfinite(total)]
    if not values:
        return {}
    about = signature("logprob_per_token", len(values), unit="nats")
    low, high = mean_interval(values)
    return {"logprob_per_token": Measure(float(np.mean(values)), low, high, source=about)}
