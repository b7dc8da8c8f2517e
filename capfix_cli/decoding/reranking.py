"""Choosing among several captions of a clip."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import torch

from capfix_cli.captioners.base import Captioner, Memory
from capfix_cli.decoding import nested_tensors as nested
from capfix_cli.decoding.caption_scoring import Tokens, rows_at_once, score_sequences
from capfix_cli.decoding.decoding_options import DecodingOptions
from capfix_cli.decoding.hypothesis import Hypothesis
from capfix_cli.decoding.null_audio import NullAudio

ROWS = 512  # captions scored at once
DIGITS = 3  # of a rank in nats that are not rounding: float32 sums of a caption agree to 1e-4


def best_candidates(
    captioner: Captioner,
    memory: Memory,
    found: Sequence[Sequence[Hypothesis]],
    options: DecodingOptions,
    absent: NullAudio | None,
) -> list[list[Hypothesis]]:
    """Put the distinct candidates of each clip in order, the best first.

    - ``likelihood``: log-probability a token, end token included.
    - ``listening``: log p(caption | audio) - log p(caption | no audio), the pointwise mutual
      information: what is likely of every clip scores 0.
    - ``mbr``: minimum Bayes risk, the mean of how alike it is to the other candidates. It seeks
      what they agree on.

    Args:
        captioner: gave the candidates.
        memory: of the clips.
        found: candidates of each clip.
        options: ``rerank`` says by what.
        absent: what stands for "no audio"; needed for ``listening``.
    """
    if options.rerank == "mbr":
        return [_by_agreement(own, captioner.eos_id) for own in found]
    distinct = [_distinct(own) for own in found]
    if options.rerank == "listening" and absent is not None:
        distinct = _by_listening(captioner, distinct, absent)
    else:
        distinct = [[replace(f, rank=_per_token(f)) for f in own] for own in distinct]
    return [_ordered(own) for own in distinct]


def _distinct(own: Sequence[Hypothesis]) -> list[Hypothesis]:
    return list({(f.tokens, f.ended): f for f in own}.values())


def _ordered(own: Sequence[Hypothesis]) -> list[Hypothesis]:
    # Ranks that differ by rounding alone are ties: the likelier a token goes first, then the words;
    # the order in which candidates were drawn is no merit.
    return sorted(own, key=lambda f: (-round(f.rank, DIGITS), -_per_token(f), f.tokens))


def _per_token(found: Hypothesis) -> float:
    return found.logprob / max(1, len(found.tokens) + found.ended)


def _by_listening(
    captioner: Captioner, found: Sequence[Sequence[Hypothesis]], absent: NullAudio
) -> list[list[Hypothesis]]:
    captions = sorted({f.closed(captioner.eos_id) for own in found for f in own}, key=_length)
    without = dict(zip(captions, _absent_scores(captioner, captions, absent), strict=True))
    return [
        [replace(f, rank=f.logprob - without[f.closed(captioner.eos_id)]) for f in own]
        for own in found
    ]


def _length(tokens: Tokens) -> tuple[int, Tokens]:
    return len(tokens), tokens


def _absent_scores(
    captioner: Captioner, captions: Sequence[Tokens], absent: NullAudio
) -> list[float]:
    """Ln of the mean of p(caption | each of the absent memories)."""
    dim = captioner.memory_batch_dim
    parts = []
    for row in range(absent.clips):
        one = nested.select(absent.memory, torch.tensor([row]), dim)
        prepared = captioner.prepare(one)
        scores, start = [], 0
        while start < len(captions):
            last = min(start + ROWS, len(captions)) - 1
            size = rows_at_once(captioner, len(captions[last]), ROWS)
            group = captions[start : start + size]
            rows = 1 if captioner.shares_memory else len(group)
            spread = nested.repeat(prepared, rows, dim)
            scores.append(score_sequences(captioner, spread, group, rows))
            start += len(group)
        parts.append(torch.cat(scores))
    mean: list[float] = (
        torch.stack(parts).logsumexp(dim=0).sub(torch.tensor(float(absent.clips)).log()).tolist()
    )
    return mean


def _by_agreement(own: Sequence[Hypothesis], eos_id: int) -> list[Hypothesis]:
    """Rank by the mean likeness to the other candidates, as often as each was drawn."""
    counts = Counter((f.tokens, f.ended) for f in own)
    grams = {key: _grams(key[0]) for key in counts}
    ranked = []
    for found in _distinct(own):
        key = (found.tokens, found.ended)
        others = sum(
            (count - (other == key)) * _likeness(grams[key], grams[other])
            for other, count in counts.items()
        )
        ranked.append(replace(found, rank=others / max(1, len(own) - 1)))
    return _ordered(ranked)


def _grams(tokens: Tokens) -> Counter[Tokens]:
    """Words and pairs of words."""
    pairs = [tokens[place : place + 2] for place in range(len(tokens) - 1)]
    return Counter([*((token,) for token in tokens), *pairs])


def _likeness(one: Counter[Tokens], other: Counter[Tokens]) -> float:
    """F1 of the words and word pairs that two captions share, in [0, 1]; of two empty ones 1."""
    size = one.total() + other.total()
    return 2 * (one & other).total() / size if size else 1.0
