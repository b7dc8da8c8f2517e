"""Drawing words: the same clip and seed give the same words, whatever is decoded beside it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from capfix_cli.decoding import logit_warpers as filters
from capfix_cli.decoding.decoding_options import DecodingOptions

MAX_PROPOSALS = (
    12  # proposals a word before the exact filters: with top-p .9 one in 10^12 needs them
)
LEAST_ACCEPTED = 0.5  # top-p below which proposals would be refused too often to be worth it
BLOCK = 256  # words whose probabilities are added up before one of them is looked for


class UniformStream:
    """Numbers in [0, 1) for every draw of every row, from the seed and the clip's name alone.

    Args:
        names: of the clips.
        width: rows a clip.
        places: words of the longest caption.
        seed: of the command.
    """

    def __init__(self, names: Sequence[str], width: int, places: int, seed: int) -> None:
        rows = []
        for name in names:
            text = name.encode("utf-8", "surrogateescape")
            digest = hashlib.blake2b(text, digest_size=8).digest()
            for row in range(width):
                key = [seed, int.from_bytes(digest, "little"), *([row] if row else [])]
                rows.append(np.random.default_rng(key).random((places, MAX_PROPOSALS)))
        self.numbers: NDArray[np.float64] = np.stack(rows)  # [clips * width, places, TRIES]

    def at(self, place: int, rows: Tensor | None = None) -> Tensor:
        """[R, TRIES] numbers for a place; ``rows`` picks and orders them."""
        numbers = self.numbers[:, place] if rows is None else self.numbers[rows.numpy(), place]
        return torch.from_numpy(np.ascontiguousarray(numbers))


def draw(scores: Tensor, options: DecodingOptions, uniforms: Tensor) -> Tensor:
    """Draw a word a row from the filtered distribution.

    Top-p and min-p need no sorting: a word is proposed from the whole distribution and kept if
    likelier words hold less than p, which gives exactly the filtered distribution. The other
    filters, and rows that refused every proposal, are sorted and filtered first.

    Shape: [R, V] scores and [R, TRIES] numbers -> [R] words.
    """
    if options.top_k or options.typical_p < 1 or options.top_p < LEAST_ACCEPTED:
        return _inverse(filters.apply(scores, options), uniforms[:, 0])
    if options.temperature != 1.0:
        scores = scores / options.temperature
    if options.top_p >= 1 and options.min_p <= 0:
        return _inverse(scores, uniforms[:, 0])
    return _propose(scores, options, uniforms)


def _propose(scores: Tensor, options: DecodingOptions, uniforms: Tensor) -> Tensor:
    weights = (scores - scores.amax(dim=1, keepdim=True)).exp_()
    blocks = _blocks(weights)
    total = blocks[:, -1]
    words = torch.zeros(len(scores), dtype=torch.long, device=scores.device)
    open_rows = torch.arange(len(scores), device=scores.device)
    for attempt in range(uniforms.shape[1]):
        whole = len(open_rows) == len(scores)
        own = weights if whole else weights[open_rows]
        cumulated = blocks if whole else blocks[open_rows]
        numbers = uniforms[:, attempt] if whole else uniforms[open_rows.cpu(), attempt]
        proposed = _pick(own, cumulated, numbers.to(scores.device))
        weight = own.gather(1, proposed.unsqueeze(1))
        kept = weight.squeeze(1) >= options.min_p  # the likeliest word's weight is 1
        if options.top_p < 1:
            likelier = torch.where(own > weight, own, 0.0).sum(dim=1)
            kept &= likelier < options.top_p * (total if whole else total[open_rows])
        if whole and bool(kept.all()):
            return proposed
        words[open_rows[kept]] = proposed[kept]
        open_rows = open_rows[~kept]
        if not len(open_rows):
            return words
    exact = DecodingOptions(do_sample=True, top_p=options.top_p, min_p=options.min_p)
    rest = filters.apply(scores[open_rows], exact)
    # The last number has refused a proposal: what is left of it would not be uniform.
    fresh = (uniforms[open_rows.cpu(), 0] + 0.5 * (math.sqrt(5) - 1)) % 1.0
    words[open_rows] = _inverse(rest, fresh)
    return words


def _inverse(scores: Tensor, uniforms: Tensor) -> Tensor:
    """Invert the cumulated distribution at the numbers: [R, V] and [R] -> [R]."""
    weights = (scores - scores.amax(dim=1, keepdim=True)).exp_()
    return _pick(weights, _blocks(weights), uniforms.to(scores.device))


def _blocks(weights: Tensor) -> Tensor:
    """[R, V] -> [R, blocks] float64: the weights up to each block's end."""
    rows, words = weights.shape
    whole = words // BLOCK * BLOCK
    sums = weights[:, :whole].view(rows, -1, BLOCK).sum(dim=2)
    if whole < words:
        sums = torch.cat([sums, weights[:, whole:].sum(dim=1, keepdim=True)], dim=1)
    return sums.double().cumsum(dim=1)


def _pick(weights: Tensor, blocks: Tensor, uniforms: Tensor) -> Tensor:
    """Find the word at which the cumulated weights pass each number: its block, then the word."""
    words = weights.shape[1]
    place = (uniforms * blocks[:, -1]).unsqueeze(1)
    # right=True skips blocks and words of weight 0, whose sum equals their predecessor's.
    block = torch.searchsorted(blocks, place, right=True).clamp_max(blocks.shape[1] - 1)
    before = torch.where(block > 0, blocks.gather(1, (block - 1).clamp_min(0)), 0.0)
    index = block * BLOCK + torch.arange(BLOCK, device=weights.device)
    inside = torch.where(index < words, weights.gather(1, index.clamp_max(words - 1)), 0.0)
    sums = inside.double().cumsum(dim=1)
    # Rounding may put the number past a block's own sum: its last word with weight is meant.
    last = (sums < sums[:, -1:]).sum(dim=1)
    found = torch.searchsorted(sums, place - before, right=True).squeeze(1)
    return block.squeeze(1) * BLOCK + torch.minimum(found, last)
