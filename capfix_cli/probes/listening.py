"""Listening: how much the audio decides the caption, in bits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capfix_cli.core.thresholds import CONTRAST_SET, TIE
from capfix_cli.decoding.caption_scoring import Tokens, reference_tokens
from capfix_cli.measures.intervals import bootstrap_interval
from capfix_cli.probes.pair_scoring import Scorer
from capfix_cli.schemas.clip_records import ClipCaption
from capfix_cli.schemas.measured_values import Listening


@dataclass(frozen=True)
class Bound:
    """The bound on one set of captions, clip by clip.

    Attributes:
        bits: [clips] log2 of p(caption | own clip) over its mean over the contrast set.
        identified: [clips] 1 where the own clip scores highest, shared among ties.
        size: clips of a contrast set, own clip included.
    """

    bits: NDArray[np.float64]
    identified: NDArray[np.float64]
    size: int


def contrast_sets(names: Sequence[str], size: int, seed: int) -> dict[str, list[str]]:
    """Draw for each clip the clips that its caption is tried on, itself first.

    Clips are put in a circle by the seed, and each is contrasted with those that follow it: every
    clip is tried equally often, and the whole is the same for all captions of a diagnosis.
    """
    order = np.random.default_rng([seed, len(names)]).permutation(sorted(names)).tolist()
    size = min(size, len(order))
    return {
        name: [order[(place + step) % len(order)] for step in range(size)]
        for place, name in enumerate(order)
    }


def information_bound(
    captions: Mapping[str, Tokens], scorer: Scorer, seed: int, contrast: int | None = None
) -> Bound:
    """Bound the information that captions carry about their clips, in bits.

    I >= mean_i log2 [ p(c_i | a_i) / mean_j p(c_i | a_j) ] over contrast sets of K clips, own clip
    included; at most log2 K (InfoNCE, arXiv 1807.03748).

    Args:
        captions: clip name -> its caption's tokens; at least 2 clips.
        scorer: with the memories of these clips.
        seed: of the contrast sets.
        contrast: clips of a contrast set; the usual number if None.
    """
    sets = contrast_sets(list(captions), contrast or int(CONTRAST_SET.value), seed)
    names = sorted(captions)
    size = len(sets[names[0]])
    pairs = [(captions[name], other) for name in names for other in sets[name]]
    scores = scorer.log_probabilities(pairs).reshape(len(names), size)
    top = scores.max(axis=1, keepdims=True)
    mean = top[:, 0] + np.log(np.exp(scores - top).mean(axis=1))
    best = scores >= top - TIE.value
    # Without this a deaf captioner, which scores all clips alike, would be right every time.
    identified = np.where(best[:, 0], 1.0 / best.sum(axis=1), 0.0)
    return Bound((scores[:, 0] - mean) / math.log(2), identified, size)


def listen(
    captions: Sequence[ClipCaption],
    scorer: Scorer,
    seed: int,
    references: Mapping[str, Sequence[str]] | None = None,
    contrast: int | None = None,
) -> Listening:
    """Measure listening on a captioner's own captions, and on references where there are any.

    Args:
        captions: of clips whose memories the scorer holds; others are left out.
        scorer: of the captioner.
        seed: of contrast sets, of the reference drawn for each clip, and of the bootstrap.
        references: clip name -> references.
        contrast: clips on which each caption is tried, its own included; the usual number if None.
    """
    held = set(scorer.names)
    own = {
        caption.file_name: ending(caption, scorer.captioner.eos_id)
        for caption in captions
        if caption.file_name in held
    }
    bound = information_bound(own, scorer, seed, contrast)
    bits, low, high = _summary(bound.bits, seed)
    notes = []
    if bound.bits.mean() < -0.005:  # would not be shown as 0.00 anyway
        notes.append(
            f"the estimate is {bound.bits.mean():.2f} bits and shown as 0: other clips' captions "
            "fit a clip no worse than its own"
        )
    reference_bits = reference_low = reference_high = None
    if references is not None:
        drawn = {
            name: tokens
            for name, tokens in _draw_references(references, scorer, seed).items()
            if name in own
        }
        if len(drawn) >= 2:
            on_references = information_bound(drawn, scorer, seed, contrast)
            reference_bits, reference_low, reference_high = _summary(on_references.bits, seed)
        else:
            notes.append("too few references share words with the vocabulary to be scored")
    return Listening(
        bits=bits,
        ceiling_bits=math.log2(bound.size),
        low=low,
        high=high,
        identification=float(bound.identified.mean()),
        chance=1 / bound.size,
        reference_bits=reference_bits,
        reference_low=reference_low,
        reference_high=reference_high,
        clips=len(own),
        note="; ".join(notes),
    )


def ending(caption: ClipCaption, eos_id: int) -> Tokens:
    """Give a caption's tokens as they were decoded, the end token included where it came."""
    return (*caption.tokens, eos_id) if caption.ended else caption.tokens


def _draw_references(
    references: Mapping[str, Sequence[str]], scorer: Scorer, seed: int
) -> dict[str, Tokens]:
    """Draw one reference a clip and tokenise it; clips without usable ones are left out."""
    captioner = scorer.captioner
    drawn: dict[str, Tokens] = {}
    generator = np.random.default_rng([seed, 23])
    for name in sorted(scorer.names):
        texts = references.get(name)
        if texts:
            tokens = reference_tokens(captioner, texts[int(generator.integers(len(texts)))])
            if tokens:
                drawn[name] = tokens
    return drawn


def _summary(bits: NDArray[np.float64], seed: int) -> tuple[float, float, float]:
    """Mean and interval, none below 0: information cannot be negative, only its estimate."""
    low, high = bootstrap_interval(bits, seed)
    return max(0.0, float(bits.mean())), max(0.0, low), max(0.0, high)
