"""What is done to scores because of the words that stand already: [R, V] and [R, T] -> [R, V].

In the order and with the meaning that transformers gives them: the prefix includes the start
tokens, and a word that is left out gets -inf.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from capfix_cli.captioners.base import Captioner
from capfix_cli.decoding.decoding_options import DecodingOptions
from capfix_cli.decoding.logit_warpers import LEFT_OUT


def penalise_repetition(scores: Tensor, prefix: Tensor, penalty: float) -> Tensor:
    """Divide positive scores of words that stand already by ``penalty``, multiply negative ones.

    Keskar et al., arXiv 1909.05858, with the sign handled as transformers does.
    """
    standing = scores.gather(1, prefix)
    lowered = torch.where(standing < 0, standing * penalty, standing / penalty)
    return scores.scatter(1, prefix, lowered)


def forbid_repeated_ngrams(scores: Tensor, prefix: Tensor, size: int) -> Tensor:
    """Leave out each word that would make an n-gram of that size stand twice."""
    length = prefix.shape[1]
    if length < size:
        return scores
    windows = prefix.unfold(1, size, 1)  # [R, windows, size]
    tail = prefix[:, length - size + 1 :].unsqueeze(1)
    same = (windows[:, :, :-1] == tail).all(dim=2)
    # Windows that do not match point at one column more, which is cut off again.
    words = torch.where(same, windows[:, :, -1], scores.shape[1])
    banned = torch.zeros(scores.shape[0], scores.shape[1] + 1, dtype=torch.bool)
    banned = banned.to(scores.device).scatter_(1, words, True)
    return scores.masked_fill(banned[:, :-1], LEFT_OUT)


def forbid(scores: Tensor, tokens: Sequence[int]) -> Tensor:
    """Leave tokens out."""
    if not len(tokens):
        return scores
    scores = scores.clone()
    scores[:, list(tokens)] = LEFT_OUT
    return scores


def process(
    scores: Tensor,
    prefix: Callable[[], Tensor],
    position: int,
    captioner: Captioner,
    options: DecodingOptions,
) -> Tensor:
    """Apply all that the options and the captioner ask for at a place.

    Args:
        scores: [R, V].
        prefix: gives the tokens of each row, start tokens included, [R, T]; called where needed.
        position: of the word to come, 0 being the first.
        captioner: its forbidden tokens and its end token count.
        options: how to decode.
    """
    if options.repetition_penalty != 1.0:
        scores = penalise_repetition(scores, prefix(), options.repetition_penalty)
    if options.no_repeat_ngram_size:
        scores = forbid_repeated_ngrams(scores, prefix(), options.no_repeat_ngram_size)
    banned = list(captioner.forbidden_tokens(position))
    if position < options.min_new_tokens:
        banned.append(captioner.eos_id)
    return forbid(scores, banned)
