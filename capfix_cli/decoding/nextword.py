"""The running state of a decoding: one step for all its rows, rows leaving or changing places."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from capfix_cli.captioners.base import Captioner, Memory
from capfix_cli.decoding import filters, nested
from capfix_cli.decoding.options import DecodingOptions

OTHERS = 8  # clips whose average stands for "no audio" in the contrast


class NextWord:
    """Scores of the next word for a number of rows, each a clip or a hypothesis of one.

    With contrast, every row is stepped together with up to ``OTHERS`` other clips of its batch
    under the same prefix: the average of their distributions is what the captioner would say
    without this clip. Unlike an average memory or silence it needs nothing of the memory but
    rows, so it works for any captioner.
    """

    def __init__(self, captioner: Captioner, memory: Memory, clips: int, options: DecodingOptions):
        self.captioner = captioner
        self.options = options
        self.dim = captioner.memory_batch_dim
        others = min(OTHERS, clips - 1) if options.contrast else 0
        self.group = 1 + others
        if others:
            # Evenly spread over the batch, so that neighbours in length are not the only ones.
            steps = [1 + (k * (clips - 1)) // others for k in range(others)]
            offsets = torch.tensor([0, *steps])
            index = (torch.arange(clips).unsqueeze(1) + offsets) % clips
            memory = nested.select(memory, index.flatten(), self.dim)
        self.memory = memory
        self.clips = clips
        self.state = captioner.start(memory)

    def open(self) -> tuple[Tensor, Tensor]:
        """Feed the start prefix; see :meth:`step` for what comes back."""
        outcome: tuple[Tensor, Tensor] | None = None
        for column in self.captioner.start_prefix(self.clips).unbind(dim=1):
            outcome = self.step(column)
        if outcome is None:
            raise ValueError(f"{type(self.captioner).__name__}.start_prefix() gave no token")
        return outcome

    def step(self, token: Tensor) -> tuple[Tensor, Tensor]:
        """[B] token -> [B, V] own log-probabilities and [B, V] scores to choose by."""
        fed = token.repeat_interleave(self.group)
        logits, self.state = self.captioner.step(fed, self.state, self.memory)
        logits = filters.finite_or_end(logits, self.captioner.eos_id)
        if self.group == 1:
            heard = logits.log_softmax(dim=1)
            return heard, filters.apply(logits, self.options)
        grouped = logits.log_softmax(dim=1).view(-1, self.group, logits.shape[1])
        heard = grouped[:, 0]
        unheard = grouped[:, 1:].logsumexp(dim=1) - math.log(self.group - 1)
        scores = filters.contrast(
            heard, unheard, self.options.contrast, self.options.contrast_cutoff
        )
        return heard, filters.apply(scores, self.options)

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows, in this order; a row may be named several times."""
        index = rows.unsqueeze(1) * self.group + torch.arange(self.group)
        self.memory = nested.select(self.memory, index.flatten(), self.dim)
        self.state = nested.select(self.state, index.flatten())
