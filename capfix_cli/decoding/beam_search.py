"""Beam search and diverse beam search over a batch of clips, as tensors.

One group of beams is transformers' beam search, ranks and stopping included. With several groups
it is diverse beam search (Vijayakumar et al., arXiv 1610.02424): at each word the groups choose
one after another, and a word loses ``diversity_penalty`` for every beam of an earlier group that
took it at this place (Hamming diversity).
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from capfix_cli.captioners.base import Captioner, Memory
from capfix_cli.decoding.decoding_options import DecodingOptions
from capfix_cli.decoding.hypothesis import Hypothesis
from capfix_cli.decoding.hypothesis_rows import NextWord
from capfix_cli.decoding.null_audio import NullAudio

DEAD = -1.0e9  # score of a place that no hypothesis fills: below any that one can have
BLOCK = 512  # candidates among which the largest is looked for first


def beam_search(
    captioner: Captioner,
    memory: Memory,
    clips: int,
    options: DecodingOptions,
    absent: NullAudio | None = None,
) -> list[list[Hypothesis]]:
    """Find likely captions of each clip, the best first.

    A hypothesis is ranked by the sum of its scores over its length to the power
    ``length_penalty``, end token included.

    Returns:
        [clips][num_beams] hypotheses.
    """
    most = options.longest(captioner.max_length)
    width, groups = options.num_beams, options.num_beam_groups
    running = NextWord(captioner, memory, clips, options, absent)
    running.widen(width)
    device = running.logits.device
    beams = [_Group(clips, width // groups, most, captioner.eos_id, options, device=device)]
    beams += [beams[0].clone() for _ in range(groups - 1)]
    batch = torch.arange(clips)  # which clip each running one is
    results: list[list[Hypothesis]] = [[] for _ in range(clips)]
    for length in range(1, most + 1):
        _advance(beams, running, options, length, last=length == most)
        over = torch.stack([group.settled for group in beams]).all(dim=0).cpu()
        for clip in over.nonzero().squeeze(1).tolist():
            results[int(batch[clip])] = _results(beams, clip)
        if bool(over.all()):
            break
        starts = torch.arange(len(batch), device=device).unsqueeze(1) * width
        parents = [group.parents + number * group.size for number, group in enumerate(beams)]
        running.reorder((starts + torch.cat(parents, dim=1)).flatten())
        tokens = torch.cat([group.tokens for group in beams], dim=1)
        if bool(over.any()):
            alive = (~over).nonzero().squeeze(1)
            running.keep(alive)
            tokens, batch = tokens[alive.to(device)], batch[alive]
            for group in beams:
                group.keep(alive.to(device))
        running.step(tokens.flatten())
    return results


def _advance(
    beams: Sequence[_Group], running: NextWord, options: DecodingOptions, length: int, last: bool
) -> None:
    """Let the groups choose their words one after another."""
    scores = running.scores(normalised=True)
    scores = scores.view(-1, options.num_beams, scores.shape[1])  # [C, W, V]
    taken: list[Tensor] = []
    for number, group in enumerate(beams):
        start = number * group.size
        part = scores[:, start : start + group.size]
        if taken and options.diversity_penalty:
            words = torch.cat(taken, dim=1)
            count = torch.zeros_like(part[:, 0]).scatter_add_(
                1, words, torch.ones_like(words, dtype=part.dtype)
            )
            part = part - options.diversity_penalty * count.unsqueeze(1)
        group.advance(part, running, start, length, last)
        taken.append(group.tokens)


def _results(beams: Sequence[_Group], clip: int) -> list[Hypothesis]:
    """Give a clip's hypotheses of all groups, the best first; one at least."""
    found = [hypothesis for group in beams for hypothesis in group.finished(clip)]
    if not found:  # nothing could be said: every continuation was forbidden
        found = [Hypothesis((), 0.0, False, DEAD)]
    return sorted(found, key=lambda hypothesis: -hypothesis.rank)


class _Group:
    """A group's hypotheses of every clip: those that run on, and the best that ended.

    Shapes: C clips, S beams of the group, L places of the longest caption.
    """

    def __init__(
        self,
        clips: int,
        size: int,
        most: int,
        eos_id: int,
        options: DecodingOptions,
        *,
        device: torch.device,
    ) -> None:
        self.size, self.most, self.eos_id, self.options = size, most, eos_id, options
        shape = (clips, size)
        self.paths = torch.full((*shape, most), eos_id, device=device)  # [C, S, L]
        # All beams begin alike: but for the first they must not count, or all would stay alike.
        self.totals = torch.full(shape, DEAD, device=device)
        self.totals[:, 0] = 0.0
        self.own = torch.zeros(shape, dtype=torch.float64, device=device)
        self.parents = torch.zeros(shape, dtype=torch.long, device=device)
        self.tokens = torch.zeros(shape, dtype=torch.long, device=device)
        self.done = _Done(
            rank=torch.full(shape, DEAD, device=device),
            path=self.paths.clone(),
            length=torch.zeros(shape, dtype=torch.long, device=device),
            own=self.own.clone(),
            ended=torch.zeros(shape, dtype=torch.bool, device=device),
            filled=torch.zeros(shape, dtype=torch.bool, device=device),
        )
        self.open = torch.ones(clips, dtype=torch.bool, device=device)

    def clone(self) -> _Group:
        """Give another group at the same start."""
        other = copy.copy(self)
        other.totals, other.own = self.totals.clone(), self.own.clone()
        return other

    @property
    def full(self) -> Tensor:
        """[C] whether as many hypotheses ended as there are beams, and that is enough."""
        enough = self.options.early_stopping is True
        return self.done.filled.all(dim=1) & enough

    @property
    def settled(self) -> Tensor:
        """[C] whether nothing that comes can change what ended."""
        return ~self.open | self.full

    def advance(
        self, scores: Tensor, running: NextWord, start: int, length: int, last: bool
    ) -> None:
        """Take the best continuations, [C, S, V] scores, the ``length``-th word of each.

        Twice as many as there are beams: if half of them end, the other half runs on.
        """
        words = scores.shape[2]
        joint = (scores + self.totals.unsqueeze(2)).flatten(1)
        best, index = largest(joint, min(2 * self.size, joint.shape[1]))
        missing = 2 * self.size - best.shape[1]
        if missing:  # a vocabulary smaller than the beam: the places left cannot win
            best = F.pad(best, (0, missing), value=DEAD)
            index = F.pad(index, (0, missing), value=self.eos_id)
        parents, tokens = index // words, index % words
        rows = torch.arange(len(index), device=index.device).unsqueeze(1) * self.options.num_beams
        gained = running.log_probability_at((rows + start + parents).flatten(), tokens.flatten())
        own = self.own.gather(1, parents) + gained.view(parents.shape).double()
        paths = self.paths.gather(1, parents.unsqueeze(2).expand(-1, -1, self.most)).clone()
        paths[:, :, length - 1] = tokens
        ends = tokens == self.eos_id
        stops = torch.ones_like(ends) if last else ends
        self._finish(best, paths, own, ends=ends, stops=stops, length=length)
        self.totals, chosen = (best + stops * DEAD).topk(self.size, dim=1)
        self.parents, self.tokens = parents.gather(1, chosen), tokens.gather(1, chosen)
        self.own = own.gather(1, chosen)
        self.paths = paths.gather(1, chosen.unsqueeze(2).expand(-1, -1, self.most))
        self._settle(length)

    def _finish(
        self, best: Tensor, paths: Tensor, own: Tensor, *, ends: Tensor, stops: Tensor, length: int
    ) -> None:
        """Let hypotheses that stop among the best S join those that ended; the best S stay."""
        stopping = stops.clone()
        stopping[:, self.size :] = False
        counts = stopping & (self.open & ~self.full).unsqueeze(1)
        rank = torch.where(counts, best / length**self.options.length_penalty, DEAD)
        new = _Done(
            rank, paths, torch.full_like(ends, length, dtype=torch.long), own, ends, stopping
        )
        self.done = self.done.joined(new, self.size)

    def _settle(self, length: int) -> None:
        """Close clips of which no running hypothesis is expected to beat what ended."""
        options = self.options
        reached = length
        if options.early_stopping == "never" and options.length_penalty > 0:
            reached = self.most
        promised = self.totals[:, :1] / reached**options.length_penalty
        worst = torch.where(self.done.filled, self.done.rank.amin(dim=1, keepdim=True), DEAD)
        self.open = self.open & (promised > worst).any(dim=1)
        if length == self.most:
            self.open = torch.zeros_like(self.open)

    def keep(self, clips: Tensor) -> None:
        """Go on with these clips."""
        for name in ("paths", "totals", "own", "parents", "tokens", "open"):
            setattr(self, name, getattr(self, name)[clips])
        self.done = self.done.kept(clips)

    def finished(self, clip: int) -> Iterator[Hypothesis]:
        """Give what ended of a clip."""
        done = self.done
        for place in range(self.size):
            rank, ended = float(done.rank[clip, place]), bool(done.ended[clip, place])
            if rank > DEAD / 2:
                length = int(done.length[clip, place]) - ended
                tokens = tuple(done.path[clip, place, :length].tolist())
                yield Hypothesis(tokens, float(done.own[clip, place]), ended, rank)


@dataclass
class _Done:
    """Hypotheses that ended, [C, S] each, paths [C, S, L]; ``filled`` where there is one."""

    rank: Tensor
    path: Tensor
    length: Tensor
    own: Tensor
    ended: Tensor
    filled: Tensor

    def joined(self, new: _Done, size: int) -> _Done:
        """Keep the best of both."""
        rank = torch.cat([self.rank, new.rank], dim=1)
        _, chosen = rank.topk(size, dim=1)
        parts = {}
        for field in dataclasses.fields(self):
            whole = torch.cat([getattr(self, field.name), getattr(new, field.name)], dim=1)
            at = chosen.unsqueeze(2).expand(-1, -1, whole.shape[2]) if whole.ndim == 3 else chosen
            parts[field.name] = whole.gather(1, at)
        return _Done(**parts)

    def kept(self, clips: Tensor) -> _Done:
        """Those of some clips."""
        return _Done(**{f.name: getattr(self, f.name)[clips] for f in dataclasses.fields(self)})


def largest(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Find the ``k`` largest of each row and where they are, in order: [C, N] -> [C, k] twice.

    They lie in the k blocks whose own largest are the largest, so only those are looked through.
    """
    rows, count = values.shape
    if count < 4 * k * BLOCK:
        return values.topk(k, dim=1)
    whole = count // BLOCK * BLOCK
    _, block = values[:, :whole].view(rows, -1, BLOCK).amax(dim=2).topk(k, dim=1)
    index = (block.unsqueeze(2) * BLOCK + torch.arange(BLOCK, device=values.device)).flatten(1)
    if whole < count:
        rest = torch.arange(whole, count, device=values.device).expand(rows, -1)
        index = torch.cat([index, rest], dim=1)
    best, place = values.gather(1, index).topk(k, dim=1)
    return best, index.gather(1, place)
