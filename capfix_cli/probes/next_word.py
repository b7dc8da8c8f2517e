"""Next-word distributions along captions: what most experiments compare."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from capfix_cli.captioners.base import Captioner, Memory, rows_of
from capfix_cli.decoding import logit_warpers as filters
from capfix_cli.decoding import nested_tensors as nested
from capfix_cli.decoding.caption_scoring import Tokens

MOST_PLACES = 16  # of a caption that experiments look at: nearly all words of nearly all captions
MOST_NUMBERS = 2**23  # of a [rows, places, words] tensor: 32 MiB in float32


def rows_for(captioner: Captioner, most: int) -> int:
    """Say how many captions an experiment may look at side by side: fewer of large vocabularies."""
    return max(4, min(most, MOST_NUMBERS // (MOST_PLACES * max(1, len(captioner.vocabulary)))))


@torch.inference_mode()
def along(captioner: Captioner, memory: Memory, captions: Sequence[Tokens]) -> Tensor:
    """Give ln p of every word at every place of captions, each under its own clip's memory.

    Works on any captioner: it takes steps as decoding does.

    Args:
        captioner: any.
        memory: as ``encode`` gave it, one clip a caption.
        captions: word ids; all are followed to the end of the longest, at most 16 places. What
            stands beyond a caption's own end is to be left out by :func:`inside`.

    Returns:
        [captions, places, V] on the CPU.
    """
    places = min(MOST_PLACES, max(1, *map(len, captions)))
    fed = torch.tensor(
        [[*tokens[:places], *[captioner.eos_id] * (places - len(tokens))] for tokens in captions]
    )
    prepared = captioner.prepare(memory)
    scores, state = captioner.open(prepared)
    found = []
    for place in range(places):
        clean, _ = filters.finite_or_end(scores.float(), captioner.eos_id)
        found.append(clean.log_softmax(dim=1).cpu())
        if place + 1 < places:
            scores, state = captioner.step(fed[:, place].to(scores.device), state, prepared)
    return torch.stack(found, dim=1)


def inside(captions: Sequence[Tokens]) -> Tensor:
    """[captions, places] True where a caption has a word to foretell, its end token included."""
    places = min(MOST_PLACES, max(1, *map(len, captions)))
    lengths = torch.tensor([len(tokens) for tokens in captions])
    return torch.arange(places).unsqueeze(0) < lengths.unsqueeze(1)


def divergence(first: Tensor, second: Tensor) -> Tensor:
    """KL(first || second) in nats of [..., V] log-probabilities -> [...]; never below 0."""
    likely = first.exp()
    # A word that the first never says adds nothing, whatever the second makes of it.
    terms = torch.where(likely > 0, likely * (first - second), 0.0)
    return terms.sum(dim=-1).clamp_min(0.0)


def by_place(values: Tensor, mask: Tensor) -> tuple[float, ...]:
    """Average [captions, places] over captions, place by place; places that few reach are left."""
    enough = mask.sum(dim=0) >= max(2, mask.shape[0] // 5)
    sums = (values * mask).sum(dim=0) / mask.sum(dim=0).clamp_min(1)
    return tuple(sums[enough].tolist())


def mean_over(values: Tensor, mask: Tensor) -> float:
    """Average [captions, places] over all words."""
    return float((values * mask).sum() / mask.sum().clamp_min(1))


def rolled(captioner: Captioner, memory: Memory, shift: int = 1) -> Memory:
    """Give every clip the memory of another."""
    rows = rows_of(memory, captioner.memory_batch_dim)
    order = torch.arange(rows).roll(shift)
    return nested.select(memory, order, captioner.memory_batch_dim)


def repeated(captioner: Captioner, memory: Memory, rows: int) -> Memory:
    """Give a memory of one clip as that of ``rows``."""
    return nested.select(memory, torch.zeros(rows, dtype=torch.long), captioner.memory_batch_dim)
