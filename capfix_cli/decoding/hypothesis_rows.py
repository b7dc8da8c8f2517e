"""Hypotheses decoded side by side: one step for all, clips leaving, rows changing places."""

from __future__ import annotations

import torch
from torch import Tensor

from capfix_cli.captioners.base import Captioner, Memory
from capfix_cli.decoding import logit_processors as processors
from capfix_cli.decoding import logit_warpers as filters
from capfix_cli.decoding import nested_tensors as nested
from capfix_cli.decoding.decoding_options import DecodingOptions
from capfix_cli.decoding.null_audio import NullAudio, average


class ActiveRows:
    """A captioner's state over some memories, a number of rows for each of them.

    The rows of a memory stand side by side. A captioner that shares memories keeps one of each;
    for others it is repeated, without copying where there is a single one.
    """

    def __init__(self, captioner: Captioner, memory: Memory) -> None:
        self.captioner = captioner
        self.memory = captioner.prepare(memory)
        self.shared = captioner.shares_memory
        scores, self.state = captioner.open(self.memory)
        self.scores, self.top = filters.finite_or_end(scores, captioner.eos_id)

    def widen(self, width: int) -> None:
        """Go from one row a memory to ``width``."""
        dim = self.captioner.state_batch_dim
        self.state = nested.repeat(self.state, width, dim, copy=True)
        if not self.shared:
            self.memory = nested.repeat(self.memory, width, self.captioner.memory_batch_dim)

    def step(self, tokens: Tensor) -> Tensor:
        """[R] tokens -> [R, V] float32 scores."""
        scores, self.state = self.captioner.step(tokens, self.state, self.memory)
        self.scores, self.top = filters.finite_or_end(scores, self.captioner.eos_id)
        return self.scores

    def reorder(self, rows: Tensor) -> None:
        """Let rows take the place of others of the same memory: [R] indices."""
        self.state = nested.select(self.state, rows, self.captioner.state_batch_dim)

    def keep(self, memories: Tensor, rows: Tensor) -> None:
        """Go on with some memories and all their rows."""
        self.reorder(rows)
        kept = memories if self.shared else rows
        self.memory = nested.select(self.memory, kept, self.captioner.memory_batch_dim)


class NextWord:
    """Scores of the next word for rows of clips, contrasted and processed as the options say.

    Args:
        captioner: gives the logits.
        memory: of the clips.
        clips: how many.
        options: how to decode.
        absent: what stands for "no audio"; needed with contrast.
    """

    def __init__(
        self,
        captioner: Captioner,
        memory: Memory,
        clips: int,
        options: DecodingOptions,
        absent: NullAudio | None = None,
    ) -> None:
        self.captioner, self.options = captioner, options
        self.clips, self.width = clips, 1
        self.heard = ActiveRows(captioner, memory)
        self.logits, self.top = self.heard.scores, self.heard.top
        self._normaliser: Tensor | None = None  # [R, 1] of the logits, computed once a step
        self.position = 0
        prefix = captioner.start_prefix(clips).to(self.logits.device)
        self.columns = list(prefix.unbind(dim=1))  # [R] each
        self.unheard: ActiveRows | None = None
        self.parts = 0
        if options.contrast and absent is not None:
            self.parts = absent.clips
            self.unheard = ActiveRows(captioner, absent.memory)
            first = average(self.unheard.scores, self.parts)  # [1, V]: the same for every clip
            self.absent_scores = first.expand(clips, -1)

    @property
    def prefix(self) -> Tensor:
        """[R, T] tokens of every row so far, start tokens included."""
        return torch.stack(self.columns, dim=1).to(self.logits.device)

    def scores(self, *, normalised: bool = False) -> Tensor:
        """Give the scores by which the next word is chosen, [R, V].

        Args:
            normalised: turn them into log-probabilities before they are processed, as beam search
                adds them up.
        """
        scores = self.logits
        if self.unheard is not None:
            options = self.options
            scores = filters.contrast(
                scores - self.normaliser,
                self.absent_scores,
                options.contrast,
                options.contrast_cutoff,
            )
            if normalised:
                scores = scores.log_softmax(dim=1)
        elif normalised:
            scores = scores - self.normaliser
        return processors.process(
            scores, lambda: self.prefix, self.position, self.captioner, self.options
        )

    @property
    def normaliser(self) -> Tensor:
        """[R, 1] ln of the sum of exponentials of the captioner's own scores."""
        if self._normaliser is None:
            # Twice as fast as logsumexp on a CPU; the largest score is always finite.
            top, word = (part.unsqueeze(1) for part in self.top)
            self._normaliser = top - self.logits.log_softmax(dim=1).gather(1, word)
        return self._normaliser

    def likeliest(self) -> Tensor:
        """[R] the word of the highest score, found already where nothing changed the scores."""
        scores = self.scores()
        return self.top.word if scores is self.logits else scores.argmax(dim=1)

    def log_probability_of(self, words: Tensor) -> Tensor:
        """[R] words, one a row -> [R] what the captioner itself gives them, in nats."""
        return (self.logits.gather(1, words.unsqueeze(1)) - self.normaliser).squeeze(1)

    def log_probability_at(self, rows: Tensor, words: Tensor) -> Tensor:
        """[N] rows and [N] words -> [N] what the captioner itself gives them, in nats."""
        return self.logits[rows, words] - self.normaliser[rows, 0]

    def widen(self, width: int) -> None:
        """Give every clip ``width`` rows; before the first word only."""
        self.heard.widen(width)
        self.width = width
        rows = self.clips * width
        if width > 1:
            self.logits, self._normaliser = self.logits.repeat_interleave(width, dim=0), None
            self.top = filters.Top(*(part.repeat_interleave(width) for part in self.top))
        self.columns = [column.repeat_interleave(width) for column in self.columns]
        if self.unheard is not None:
            self.unheard.widen(rows)
            self.absent_scores = self.absent_scores[:1].expand(rows, -1)

    def step(self, tokens: Tensor) -> None:
        """Take one word a row, [R]."""
        self.logits, self._normaliser = self.heard.step(tokens), None
        self.top = self.heard.top
        self.columns.append(tokens)
        self.position += 1
        if self.unheard is not None:
            self.absent_scores = average(self.unheard.step(tokens.repeat(self.parts)), self.parts)

    def reorder(self, rows: Tensor) -> None:
        """Let rows take the place of others of the same clip: [R] indices; before a step."""
        self.heard.reorder(rows)
        self.columns = [column[rows] for column in self.columns]
        if self.unheard is not None:
            self.unheard.reorder(self._absent_rows(rows))

    def keep(self, clips: Tensor) -> None:
        """Go on with these clips, [C] indices in order, and drop the others; before a step."""
        rows = (clips.unsqueeze(1) * self.width + torch.arange(self.width)).flatten()
        self.heard.keep(clips, rows)
        self.columns = [column[rows] for column in self.columns]
        if self.unheard is not None:
            self.unheard.reorder(self._absent_rows(rows))
            if not self.unheard.shared:
                self.unheard.memory = nested.select(
                    self.unheard.memory, self._absent_rows(rows), self.captioner.memory_batch_dim
                )
        self.clips = len(clips)

    def _absent_rows(self, rows: Tensor) -> Tensor:
        """Rows of the clips -> rows of the absent memories, part by part."""
        count = self.clips * self.width
        return (torch.arange(self.parts).unsqueeze(1) * count + rows).flatten()
