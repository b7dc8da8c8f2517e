"""Where in what a user's method gives the scores of words stand: found by moving words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

MOVED = 1e-5  # of the scores' spread: more than arithmetic in another order moves them
MOST_NESTED = 4  # levels of tuples, dicts and records that scores are sought in


@dataclass(frozen=True, kw_only=True)
class ScoreLayout:
    """How to read [clips, places, words] out of a method's result.

    Attributes:
        part: which of the result's tensors, counted in order.
        arrange: that tensor, and how many clips -> [B, L, V].
        lag: the place that scores the word after token ``t`` is ``t + lag``.
        sees_ahead: whether later words move earlier scores.
    """

    part: int
    arrange: Callable[[Tensor, int], Tensor]
    lag: int
    sees_ahead: bool = False

    def read(self, result: Any, clips: int, places: int) -> Tensor:
        """Give the scores after each of the first ``places`` tokens, [B, places, V].

        Raises:
            ValueError: the result has fewer places.
        """
        found = self.arrange(list(tensors_in(result))[self.part], clips)
        scores = found[:, self.lag : self.lag + places]
        if scores.shape[1] < places:
            raise ValueError(f"the network scored {scores.shape[1]} of {places} words")
        return scores


def tensors_in(result: Any, depth: int = 0) -> Iterator[Tensor]:
    """Yield the tensors of a nesting of tuples, dicts and records, in order."""
    if isinstance(result, Tensor):
        yield result
    elif depth < MOST_NESTED:
        inner: Any = ()
        if isinstance(result, dict):
            inner = result.values()
        elif isinstance(result, list | tuple):
            inner = result
        elif hasattr(result, "__dict__"):
            inner = vars(result).values()
        for part in inner:
            yield from tensors_in(part, depth + 1)


def arrangements(
    shape: torch.Size, clips: int, words: int
) -> Iterator[Callable[[Tensor, int], Tensor]]:
    """Yield ways to see a tensor as [clips, places, words]."""
    if len(shape) == 3 and words in shape:
        if shape[0] == clips and shape[2] == words:
            yield lambda x, rows: x
        if shape[1] == clips and shape[2] == words:
            yield lambda x, rows: x.transpose(0, 1)
        if shape[0] == clips and shape[1] == words:
            yield lambda x, rows: x.transpose(1, 2)
    if len(shape) == 2 and shape[1] == words and shape[0] > clips and shape[0] % clips == 0:
        yield lambda x, rows: x.reshape(rows, -1, x.shape[1])
        yield lambda x, rows: x.reshape(-1, rows, x.shape[1]).transpose(0, 1)
    if len(shape) == 2 and clips == 1 and shape[1] == words:
        yield lambda x, rows: x.unsqueeze(0)


def find_layout(run: Callable[[Tensor], Any], tokens: Tensor, words: int) -> ScoreLayout | None:
    """Find the scores in what a method gives of words, by changing words and looking what moves.

    Args:
        run: [B, T] tokens -> the method's result.
        tokens: [B, T] ordinary words, at least 5 places.
        words: how many words there are.

    Returns:
        None where the result has no scores, or none that the words move.
    """
    clips = len(tokens)
    plain = list(tensors_in(run(tokens)))
    early, late = (list(tensors_in(run(_changed(tokens, place, words)))) for place in (1, 3))
    for part, tensor in enumerate(plain):
        if not tensor.is_floating_point():
            continue
        for arrange in arrangements(tensor.shape, clips, words):
            seen = [arrange(some[part].float(), clips) for some in (plain, early, late)]
            layout = _judge(seen[0], seen[1], seen[2], part, arrange)
            if layout is not None:
                return layout
    return None


def _changed(tokens: Tensor, place: int, words: int) -> Tensor:
    """Change one word of the first clip to another ordinary one that the row does not hold."""
    changed = tokens.clone()
    other = tokens[-1, place]
    changed[0, place] = other if other != tokens[0, place] else tokens[-1, place - 1]
    return changed


def _judge(
    plain: Tensor, early: Tensor, late: Tensor, part: int, arrange: Callable[[Tensor, int], Tensor]
) -> ScoreLayout | None:
    if early.shape != plain.shape or late.shape != plain.shape:
        return None
    spread = plain.nan_to_num().std().clamp_min(1e-12)
    moved = [
        ((other - plain).nan_to_num().abs().amax(dim=2) / spread) > MOVED for other in (early, late)
    ]
    if any(bool(one[1:].any()) for one in moved) and len(plain) > 1:
        return None  # another clip's scores moved: rows are not where this reading has them
    first = [one[0].nonzero() for one in moved]
    if not len(first[0]):
        return None
    start = int(first[0][0])
    then = int(first[1][0]) if len(first[1]) else start + 2
    if then - start == 2 and 0 <= start - 1 <= 2:
        return ScoreLayout(part=part, arrange=arrange, lag=start - 1)
    if then == start == 0 or start < 1:  # words move what stands before them
        return ScoreLayout(part=part, arrange=arrange, lag=0, sees_ahead=True)
    return None
