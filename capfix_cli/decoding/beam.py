"""Beam search over a batch of clips."""

from __future__ import annotations

import torch

from capfix_cli.captioners.base import Captioner, Memory
from capfix_cli.decoding.nextword import NextWord
from capfix_cli.decoding.options import DecodingOptions

Found = tuple[list[int], float, bool]  # tokens, log-probability, ended


def beam_search(
    captioner: Captioner, memory: Memory, clips: int, options: DecodingOptions
) -> list[Found]:
    """Find a likely caption for each clip.

    A hypothesis is ranked by its log-probability over its length to the power
    ``length_penalty``, end token included, as transformers ranks them.
    """
    width = options.num_beams
    running = NextWord(captioner, memory, clips, options)
    _, scores = running.open()
    running.keep(torch.arange(clips).repeat_interleave(width))
    scores = scores.log_softmax(dim=1).repeat_interleave(width, dim=0)
    # All beams begin alike: but for the first they must not count, or all would stay alike.
    totals = torch.full((clips, width), -torch.inf, device=scores.device)
    totals[:, 0] = 0.0
    beams = [_Beams(width, captioner.eos_id, options.length_penalty) for _ in range(clips)]
    for length in range(1, captioner.max_length + 1):
        joint = (totals.unsqueeze(2) + scores.view(clips, width, -1)).flatten(1)
        best, place = joint.topk(min(2 * width, joint.shape[1]), dim=1)
        words = scores.shape[1]
        for clip, beam in enumerate(beams):
            beam.advance(best[clip].tolist(), place[clip].tolist(), words, length)
        if all(beam.settled for beam in beams) or length == captioner.max_length:
            break
        first = torch.arange(clips).unsqueeze(1) * width
        running.keep((first + torch.tensor([beam.parents for beam in beams])).flatten())
        tokens = torch.tensor([beam.tokens for beam in beams]).flatten()
        _, scores = running.step(tokens.to(scores.device))
        scores = scores.log_softmax(dim=1)
        totals = torch.tensor([beam.totals for beam in beams], device=scores.device)
    return [beam.best() for beam in beams]


class _Beams:
    """One clip's hypotheses: those that run on, and those that ended."""

    def __init__(self, width: int, eos_id: int, length_penalty: float) -> None:
        self.width, self.eos_id, self.length_penalty = width, eos_id, length_penalty
        self.paths: list[list[int]] = [[] for _ in range(width)]
        self.parents: list[int] = []
        self.tokens: list[int] = []
        self.totals: list[float] = []
        self.finished: list[tuple[float, float, list[int]]] = []  # rank, log-probability, tokens
        self.settled = False

    def advance(self, scores: list[float], places: list[int], words: int, length: int) -> None:
        """Take the best candidates, likeliest first; a place is beam * words + word."""
        if self.settled:
            return
        chosen: list[tuple[int, int, float]] = []
        for rank, (score, place) in enumerate(zip(scores, places, strict=True)):
            beam, token = divmod(place, words)
            if token != self.eos_id:
                chosen.append((beam, token, score))
            elif rank < self.width and score > float("-inf"):
                ranked = score / length**self.length_penalty
                self.finished.append((ranked, score, self.paths[beam]))
        chosen = chosen[: self.width]
        # With a vocabulary smaller than the beam there may be fewer: the rest cannot win.
        chosen += [(0, self.eos_id, float("-inf"))] * (self.width - len(chosen))
        self.paths = [[*self.paths[beam], token] for beam, token, _ in chosen]
        self.parents = [beam for beam, _, _ in chosen]
        self.tokens = [token for _, token, _ in chosen]
        self.totals = [score for _, _, score in chosen]
        # Settled: no running hypothesis is expected to beat the finished ones any more.
        if len(self.finished) >= self.width:
            worst = sorted((ranked for ranked, _, _ in self.finished), reverse=True)
            reach = max(self.totals) / length**self.length_penalty
            self.settled = reach <= worst[self.width - 1]

    def best(self) -> Found:
        """Give the best that ended, or, where none did, the likeliest that runs."""
        if self.finished:
            _, score, path = max(self.finished, key=lambda item: item[0])
            return path, score, True
        beam = max(range(self.width), key=self.totals.__getitem__)
        return self.paths[beam], self.totals[beam], False
