"""The parts of the training loss, as pure functions of scores and targets.

Shapes throughout: logits [B, T, V], targets [B, T] int64, real [B, T] bool (False on padding).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def token_losses(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of each target in nats, [B, T], with label smoothing (fix 3.1).

    The target keeps 1 - s of the weight and s is spread evenly over all words (Szegedy et al.,
    arXiv 1512.00567, as PyTorch has it). Padding is computed too: mask it out.
    """
    flat = F.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), reduction="none", label_smoothing=smoothing
    )
    return flat.view_as(targets)


def repeat_penalty(logits: Tensor, real: Tensor) -> Tensor:
    """Expected repeats of a word at the next place: the mean over t of <p_t, p_(t-1)> (fix 3.3).

    A count of repeats has no gradient. This is the probability that words drawn at two
    neighbouring places are the same one, so it is 1 for certain repeats and has a gradient.
    """
    odds = logits.softmax(dim=-1)
    again = (odds[:, 1:] * odds[:, :-1]).sum(dim=-1)
    pairs = (real[:, 1:] & real[:, :-1]).to(again.dtype)
    return (again * pairs).sum() / pairs.sum().clamp(min=1)


def unlikelihood(logits: Tensor, inputs: Tensor, targets: Tensor, real: Tensor) -> Tensor:
    """Unlikelihood of words that the caption has said before (fix 3.3; arXiv 1908.04319).

    The mean over places of the sum of -ln(1 - p(c)) over the words c of the prefix that are not
    the place's own target: a second "a" is no mistake where the caption has one.

    Args:
        logits: scores of the next word.
        inputs: [B, T] words fed; what stands before place t, t included.
        targets: [B, T] the words to come.
        real: places that count.
    """
    batch, length, words = logits.shape
    said = torch.zeros(batch, length, words, dtype=torch.bool, device=logits.device)
    said.scatter_(2, inputs.unsqueeze(2), True)
    said = said.cummax(dim=1).values  # said at this place or any before it
    said.scatter_(2, targets.unsqueeze(2), False)
    odds = logits.softmax(dim=-1)
    cost = -torch.log1p(-odds.clamp(max=1 - 1e-6)) * said
    return (cost.sum(dim=-1) * real).sum() / real.sum().clamp(min=1)


def listening_loss(scores: Tensor) -> Tensor:
    """InfoNCE of captions over clips (fix 3.6; arXiv 1807.03748): the mean over captions, in nats.

    Args:
        scores: [B, 1 + K] ln p(caption | clip), the caption's own clip first.

    Returns:
        ln(1 + K) where the audio does not matter, 0 where each caption is certain of its clip.
    """
    own = torch.zeros(scores.shape[0], dtype=torch.long, device=scores.device)
    return F.cross_entropy(scores, own)


def mix_inputs(words: Tensor, logits: Tensor, share: float) -> Tensor:
    """Feed predictions at a share of the places (fix 3.2), two passes instead of word by word.

    The prediction at one place is the input of the next; the begin token always stays
    (parallel scheduled sampling, arXiv 1906.04331).

    Args:
        words: [B, T] true inputs, begin token first.
        logits: [B, T, V] of a pass on the true inputs.
        share: of places where the prediction is fed.
    """
    predicted = torch.cat([words[:, :1], logits[:, :-1].argmax(dim=-1)], dim=1)
    swapped = torch.rand(words.shape, device=words.device) < share
    return torch.where(swapped, predicted, words)
