"""What is done to the scores of the next word before one is chosen: pure functions of them.

Shape of all: [B, V] float32 in, [B, V] float32 out; a word that is left out gets -inf.
"""

from __future__ import annotations

import torch
from torch import Tensor

from capfix_cli.decoding.options import DecodingOptions

LEFT_OUT = float("-inf")


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
    least = heard.amax(dim=1, keepdim=True) + torch.tensor(cutoff).log()
    scores = (1 + weight) * heard - weight * unheard
    # Without a cut the rarest word can win: both terms are then large and mostly noise.
    return scores.masked_fill(heard < least, LEFT_OUT)


def apply(scores: Tensor, options: DecodingOptions) -> Tensor:
    """Apply temperature, then top-k, then top-p, as transformers does."""
    if options.temperature != 1.0:
        scores = scores / options.temperature
    if options.top_k:
        scores = keep_top_k(scores, options.top_k)
    if options.top_p < 1.0:
        scores = keep_top_p(scores, options.top_p)
    return scores


def finite_or_end(logits: Tensor, eos_id: int) -> Tensor:
    """Make scores usable: NaN becomes -inf, +inf the largest number, a row of nothing ends."""
    clean = torch.nan_to_num(logits.float(), nan=LEFT_OUT, posinf=1e30, neginf=LEFT_OUT)
    empty = clean.eq(LEFT_OUT).all(dim=1)
    if bool(empty.any()):
        clean[empty, eos_id] = 0.0
    return clean
