"""How likely a captioner finds a given caption for a given clip."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from capfix_cli.captioners.base import Captioner
from capfix_cli.decoding import filters, nested
from capfix_cli.decoding.search import Chunk

Tokens = tuple[int, ...]  # a caption's ids, its end token included where it ended

ROWS = 512  # (caption, clip) pairs scored at once: bounds memory, and wide enough for two cores


class Scorer:
    """Scores captions under the memories of clips, each pair once.

    Args:
        captioner: gives the logits.
        chunks: the memories of all clips that may be asked for.
    """

    def __init__(self, captioner: Captioner, chunks: Sequence[Chunk]) -> None:
        self.captioner = captioner
        self.chunks = chunks
        self.place = {
            name: (number, row)
            for number, chunk in enumerate(chunks)
            for row, name in enumerate(chunk.names)
        }
        self._known: dict[tuple[Tokens, str], float] = {}

    @property
    def names(self) -> list[str]:
        """The clips whose memories are at hand."""
        return list(self.place)

    def log_probabilities(self, pairs: Sequence[tuple[Tokens, str]]) -> NDArray[np.float64]:
        """Give ln p(caption | clip) of each (caption, clip name) pair.

        A captioner that says one thing about every clip is asked about few distinct pairs, and
        trials share their captions: each pair is computed once and kept.

        Returns:
            [pairs] in nats, the sum over the tokens as given.
        """
        fresh = sorted(
            {pair for pair in pairs if pair not in self._known},
            # By chunk for the memory, by length so that few rows wait for the longest.
            key=lambda pair: (self.place[pair[1]][0], len(pair[0]), pair),
        )
        start = 0
        while start < len(fresh):
            number = self.place[fresh[start][1]][0]
            stop = start
            while (
                stop < len(fresh)
                and stop - start < ROWS
                and self.place[fresh[stop][1]][0] == number
            ):
                stop += 1
            group = fresh[start:stop]
            rows = [self.place[name][1] for _, name in group]
            scores = self._score(number, rows, [tokens for tokens, _ in group])
            self._known.update(zip(group, scores.tolist(), strict=True))
            start = stop
        return np.array([self._known[pair] for pair in pairs], dtype=np.float64)

    @torch.inference_mode()
    def _score(self, number: int, rows: Sequence[int], captions: Sequence[Tokens]) -> Tensor:
        captioner = self.captioner
        memory = nested.select(
            self.chunks[number].memory, torch.tensor(rows), captioner.memory_batch_dim
        )
        state = captioner.start(memory)
        logits = None
        for column in captioner.start_prefix(len(rows)).unbind(dim=1):
            logits, state = captioner.step(column, state, memory)
        longest = max(map(len, captions))
        padded = torch.tensor([[*tokens, *[0] * (longest - len(tokens))] for tokens in captions])
        lengths = torch.tensor([len(tokens) for tokens in captions])
        total = torch.zeros(len(rows), dtype=torch.float64)
        for position in range(longest):
            if logits is None:
                break
            target = padded[:, position].to(logits.device)
            clean = filters.finite_or_end(logits, captioner.eos_id).log_softmax(dim=1)
            value = clean.gather(1, target.unsqueeze(1)).squeeze(1).double().cpu()
            total += torch.where(position < lengths, value, 0.0)
            if position + 1 < longest:
                logits, state = captioner.step(target, state, memory)
        return total
