"""What is done to the scores of the next word before one is chosen: pure functions of them.

Shape of all: [B, V] float32 in, [B, V] float32 out; a word that is left out gets -inf.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from capfix_cli.decoding.decoding_options import DecodingOptions

LEFT_OUT = float("-inf")
LOWEST_LOGIT = (
    -1e4
)  # nats of a word that cannot come without audio: far below any that can, yet a number


class Top(NamedTuple):
    """The largest score of each row and its word, [B] each."""

    score: Tensor
    word: Tensor


def keep_top_k(scores: Tensor, k: int) -> Tensor:
    """Keep the ``k`` likeliest words; more than there are keeps all."""
    least = scores.topk(min(k, scores.shape[1]), dim=1).values[:, -1:]
    return scores.masked_fill(scores < least, LEFT_OUT)


def keep_top_p(scores: Tensor, p: float) -> Tensor:
    """Keep the fewest words whose probability reaches ``p``; always at least one."""
    ordered, index = scores.sort(dim=1, descending=True, stable=True)
    probability = ordered.softmax(dim=1)
    before = probability.cumsum(dim=1) - probability  # held by likelier words
    kept = before < p
    kept[:, 0] = True
    return scores.masked_fill(~torch.zeros_like(kept).scatter(1, index, kept), LEFT_OUT)


def keep_min_p(scores: Tensor, p: float) -> Tensor:
    """Keep words whose probability is at least ``p`` times the likeliest's."""
    least = scores.amax(dim=1, keepdim=True) + (math.log(p) if p > 0 else LEFT_OUT)
    return scores.masked_fill(scores < least, LEFT_OUT)


def keep_typical(scores: Tensor, p: float) -> Tensor:
    """Keep the words whose surprise is nearest to the expected one until they hold ``p``.

    The word that crosses ``p`` is kept, as are words exactly as near as it.
    """
    normal = scores.log_softmax(dim=1)
    probability = normal.exp()
    entropy = -torch.where(probability > 0, normal * probability, 0.0).sum(dim=1, keepdim=True)
    distance = (-normal - entropy).abs()
    ordered, index = distance.sort(dim=1, stable=True)
    held = probability.gather(1, index).cumsum(dim=1)
    crossing = (held < p).sum(dim=1, keepdim=True).clamp_max(scores.shape[1] - 1)
    farthest = ordered.gather(1, crossing)
    return scores.masked_fill(distance > farthest, LEFT_OUT)


def contrast(heard: Tensor, unheard: Tensor, weight: float, cutoff: float) -> Tensor:
    """Raise what hearing this clip makes likelier: (1 + a) log p(w|audio) - a log p(w|no audio).

    Only words with p(w|audio) >= cutoff * max p(w|audio) remain (visual contrastive decoding,
    arXiv 2311.16922).

    Args:
        heard: [B, V] log-probabilities given the clip.
        unheard: [B, V] log-probabilities without it.
        weight: a; 0 leaves ``heard`` as it is but for the cut.
        cutoff: in [0, 1].
    """
    least = heard.amax(dim=1, keepdim=True) + (math.log(cutoff) if cutoff > 0 else LEFT_OUT)
    scores = torch.lerp(unheard.clamp_min(LOWEST_LOGIT), heard, 1 + weight)
    # Without a cut the rarest word can win: both terms are then large and mostly noise. Where a
    # word is left out of both, their difference is no number.
    return scores.masked_fill((heard < least) | heard.eq(LEFT_OUT), LEFT_OUT)


def apply(scores: Tensor, options: DecodingOptions) -> Tensor:
    """Apply temperature, top-k, top-p, min-p, then typical, in transformers' order."""
    if options.temperature != 1.0:
        scores = scores / options.temperature
    if options.top_k:
        scores = keep_top_k(scores, options.top_k)
    if options.top_p < 1.0:
        scores = keep_top_p(scores, options.top_p)
    if options.min_p > 0.0:
        scores = keep_min_p(scores, options.min_p)
    if options.typical_p < 1.0:
        scores = keep_typical(scores, options.typical_p)
    return scores


def finite_or_end(logits: Tensor, eos_id: int) -> tuple[Tensor, Top]:
    """Give scores as float32 and usable: NaN becomes -inf, +inf the largest, a row of none ends.

    Sound scores come back as they are, without a copy.

    Returns:
        The scores, and each row's largest, which is found on the way.
    """
    scores = logits.float()
    # A row's maximum is NaN or infinite wherever any of the three needs mending.
    best, word = scores.max(dim=1)
    if bool(torch.isfinite(best).all()):
        return scores, Top(best, word)
    clean = torch.nan_to_num(scores, nan=LEFT_OUT, posinf=1e30, neginf=LEFT_OUT)
    empty = clean.eq(LEFT_OUT).all(dim=1)
    clean[empty, eos_id] = 0.0
    return clean, Top(*clean.max(dim=1))
