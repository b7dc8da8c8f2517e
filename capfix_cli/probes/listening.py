"""Listening: how much the audio decides the caption, in bits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capfix_cli.core.thresholds import CONTRAST_SET, MIN_CLIPS, TIE
from capfix_cli.decoding.caption_scoring import Tokens, reference_tokens
from capfix_cli.measures.intervals import bootstrap_interval
from capfix_cli.probes.pair_scoring import Scorer
from capfix_cli.schemas.clip_records import ClipCaption
from capfix_cli.schemas.measured_values import Listening


@dataclass(frozen=True)
class Bound:
    """The bound on one set of captions, clip by clip.

    Attributes:
        bits: [clips] log2 of the critic's weight of the own clip over its mean over the contrast
            set; the critic's temperature was fitted on the other half of the clips.
        raw_bits: [clips] the same at temperature 1, as the captioner itself weighs them.
        temperature: the geometric mean of the two that were fitted; above 1 the captioner is
            surer than it is right.
        identified: [clips] 1 where the own clip scores highest, shared among ties.
        above: [clips] share of the other clips on which the caption scores lower than on its own,
            ties by half; the mean is the area under the ROC curve.
        size: clips of a contrast set, own clip included.
    """

    bits: NDArray[np.float64]
    raw_bits: NDArray[np.float64]
    temperature: float
    identified: NDArray[np.float64]
    above: NDArray[np.float64]
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

    I >= mean_i log2 [ f(c_i, a_i) / mean_j f(c_i, a_j) ] over contrast sets of K clips, own clip
    included; at most log2 K (InfoNCE, arXiv 1807.03748). The critic f is p(c | a)^(1/t).

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
    return bound_scores(scorer.log_probabilities(pairs).reshape(len(names), size))


SHOWN = 0.005  # bits: less is shown as 0.00 anyway
# Of the critic: from sixteen times surer than the captioner to where all clips look alike.
TEMPERATURES = 2.0 ** np.arange(-4.0, 8.5, 0.5)


def bound_scores(scores: NDArray[np.float64]) -> Bound:
    """Bound the information in a table of scores, whatever scale the scores have.

    InfoNCE bounds the information for any critic, so that the scores may be divided by a
    temperature; each half of the clips is judged with the one that is best for the other half. A
    captioner that is right but too sure is then not taken for a deaf one, and a deaf one gains
    nothing (SCIENCE section 8).

    Args:
        scores: [clips, contrast set] ln p(caption | clip), the own clip in column 0.
    """
    clips, size = scores.shape
    # A caption that is impossible on a clip has no logarithm: below every score that there is.
    finite = scores[np.isfinite(scores)]
    lowest = float(finite.min()) - 1e3 if finite.size else 0.0
    scores = np.nan_to_num(scores, nan=lowest, neginf=lowest, posinf=lowest)
    top = scores.max(axis=1, keepdims=True)
    tables = np.stack([_bits(scores - top, temperature) for temperature in TEMPERATURES])
    halves = np.arange(clips) % 2
    bits = np.empty(clips)
    chosen = []
    for half in (0, 1):
        best = int(tables[:, halves != half].mean(axis=1).argmax())
        bits[halves == half] = tables[best, halves == half]
        chosen.append(TEMPERATURES[best])
    best_of = scores >= top - TIE.value
    # Without this a deaf captioner, which scores all clips alike, would be right every time.
    identified = np.where(best_of[:, 0], 1.0 / best_of.sum(axis=1), 0.0)
    lead = scores[:, :1] - scores[:, 1:]
    above = np.where(np.abs(lead) <= TIE.value, 0.5, lead > 0).mean(axis=1)
    return Bound(
        bits=bits,
        raw_bits=_bits(scores - top, 1.0),
        temperature=float(np.exp(np.log(chosen).mean())),
        identified=identified,
        above=above,
        size=size,
    )


def _bits(scores: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """[clips, contrast set], at most 0 each -> [clips] bits at one temperature."""
    scaled = scores / temperature
    mean = np.log(np.exp(scaled).mean(axis=1))
    return np.asarray((scaled[:, 0] - mean) / math.log(2))


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
    least = min(bound.bits.mean(), bound.raw_bits.mean() if bits < SHOWN else 0.0)
    if least < -SHOWN:
        notes.append(
            f"the estimate is {least:.2f} bits and shown as 0: other clips' captions fit a clip no"
            " worse than its own"
        )
    on_references: dict[str, float] = {}
    if references is not None:
        on_references = _listen_to(references, scorer, set(own), seed, contrast)
        if not on_references:
            notes.append(
                f"references were not listened to: fewer than {_fewest(len(own))} clips have some"
                " whose words the vocabulary has"
            )
    return Listening(
        bits=bits,
        ceiling_bits=math.log2(bound.size),
        low=low,
        high=high,
        identification=float(bound.identified.mean()),
        chance=1 / bound.size,
        clips=len(own),
        note="; ".join(notes),
        raw_bits=float(bound.raw_bits.mean()),
        temperature=bound.temperature,
        auc=float(bound.above.mean()),
        **on_references,
    )


def _listen_to(
    references: Mapping[str, Sequence[str]],
    scorer: Scorer,
    names: set[str],
    seed: int,
    contrast: int | None,
) -> dict[str, float]:
    """Measure listening on references: fields of :class:`Listening`, none for too few clips.

    A few would else decide for all, and their contrast sets would be smaller than those that the
    bits are compared with.
    """
    drawn = {
        name: tokens
        for name, tokens in _draw_references(references, scorer, seed).items()
        if name in names
    }
    if len(drawn) < _fewest(len(names)):
        return {}
    told = information_bound(drawn, scorer, seed, contrast)
    bits, low, high = _summary(told.bits, seed)
    return {
        "reference_bits": bits,
        "reference_low": low,
        "reference_high": high,
        "reference_raw_bits": float(told.raw_bits.mean()),
        "reference_temperature": told.temperature,
        "reference_identification": float(told.identified.mean()),
        "reference_auc": float(told.above.mean()),
    }


def _fewest(clips: int) -> int:
    """How many clips must have references: as many as a verdict needs, or half of a sample."""
    return max(2, min(int(MIN_CLIPS.value), -(-clips // 2)))


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
