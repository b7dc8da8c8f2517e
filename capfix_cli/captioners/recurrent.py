"""A captioner around a user's own recurrent decoder, whichever way it hears the audio."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from capfix_cli.captioners.base import Memory, State, rows_of
from capfix_cli.captioners.generic import Generic
from capfix_cli.core.errors import CapfixError

RecurrentConditioning = Literal["initial-state", "first-token", "every-step", "attention"]


class RecurrentCaptioner(Generic):
    """A GRU, LSTM or RNN (a layer or a cell) that hears the audio in one of four ways.

    - ``initial-state``: ``first_state(memory)`` gives the state; inputs are words alone.
    - ``first-token``: the memory, [B, E] or through ``project``, is the first input.
    - ``every-step``: the memory [B, C] stands beside each word.
    - ``attention``: ``attention(memory, hidden)`` gives the context [B, C] that does; hidden is
      [B, H], of the last layer.

    Args:
        conditioning: one of the four.
        embedding: [B] ids -> [B, E]; by default the one ``nn.Embedding`` with a row a word.
        rnn: ``nn.GRU``, ``nn.LSTM``, ``nn.RNN`` or a cell of them; by default the one outside the
            encoder.
        output: [B, H] -> [B, V]; by default the one ``nn.Linear`` from the recurrence's width to
            the words. Give it where something other than dropout stands before it.
        first_state: memory -> state: [B, H], or [layers, B, H], or a pair (h, c) of them; without
            it the state begins at zero.
        attention: (memory, hidden) -> context, or (context, weights).
        project: memory -> what the first token's place takes.
        order: ``word-first`` where training did cat([word, audio]), else ``audio-first``.
        common: as :class:`Generic` takes it.
    """

    shares_memory = True

    def __init__(
        self,
        *,
        conditioning: RecurrentConditioning,
        embedding: Callable[[Tensor], Tensor] | None = None,
        rnn: nn.Module | None = None,
        output: Callable[[Tensor], Tensor] | None = None,
        first_state: Callable[[Any], Any] | None = None,
        attention: Callable[[Any, Tensor], Any] | None = None,
        project: Callable[[Any], Tensor] | None = None,
        order: Literal["word-first", "audio-first"] = "word-first",
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if conditioning not in {"initial-state", "first-token", "every-step", "attention"}:
            raise CapfixError(
                f"{conditioning!r} is no conditioning of a recurrent decoder.",
                "Use initial-state, first-token, every-step or attention.",
            )
        needs = {"initial-state": first_state, "attention": attention}
        if conditioning in needs and needs[conditioning] is None:
            missing = "first_state" if conditioning == "initial-state" else "attention"
            raise CapfixError(
                f"Conditioning by {conditioning} needs {missing}=.",
                "Give the function of training.",
            )
        self.embedding = embedding or self._embedding()
        self.rnn = rnn or self._recurrence()
        self.output = output or self._scores()
        self.conditioning, self.order = conditioning, order
        self.first_state, self.attention = first_state, attention
        self.project = project or (lambda memory: memory)
        self._spreads = True  # until an attention turns out not to
        self.is_cell = isinstance(self.rnn, nn.RNNCellBase)
        self.has_memory_cell = isinstance(self.rnn, nn.LSTM | nn.LSTMCell)

    def _embedding(self) -> nn.Module:
        size = len(self.vocabulary)
        tables = self._named(lambda m: isinstance(m, nn.Embedding))
        fits = {name: m for name, m in tables.items() if m.num_embeddings == size}
        if not fits and len(tables) == 1:
            name, table = next(iter(tables.items()))
            raise CapfixError(
                f"The vocabulary has {size} tokens, and {name} of {type(self.module).__name__} has "
                f"{table.num_embeddings} rows: they are not of the same training.",
                "Give the vocabulary of training, with its special tokens.",
            )
        return self._only(fits, "embedding", f"nn.Embedding of {size} rows, one a word")

    def _recurrence(self) -> nn.Module:
        fits = self._named(
            lambda m: (
                isinstance(m, nn.RNNCellBase) or (isinstance(m, nn.RNNBase) and not m.bidirectional)
            )
        )
        return self._only(fits, "rnn", "recurrent layer outside the encoder")

    def _scores(self) -> nn.Module:
        size = len(self.vocabulary)
        width: Any = self.rnn.hidden_size
        fits = self._named(
            lambda m: isinstance(m, nn.Linear) and (m.in_features, m.out_features) == (width, size)
        )
        return self._only(fits, "output", f"nn.Linear from {width} to {size}, one a word")

    def _named(self, fits: Callable[[nn.Module], bool]) -> dict[str, nn.Module]:
        inside = set(self.encoder.modules()) if isinstance(self.encoder, nn.Module) else set()
        named = self.module.named_modules() if self.module is not None else ()
        return {name: m for name, m in named if fits(m) and m not in inside}

    def _only(self, fits: dict[str, nn.Module], role: str, what: str) -> nn.Module:
        if len(fits) == 1:
            return next(iter(fits.values()))
        network = type(self.module).__name__
        raise CapfixError(
            f"{network} has {len(fits) or 'no'} {what}"
            + (f": {', '.join(fits)}." if fits else "."),
            f"Give {role}=." if fits else f"Give {role}=, or the vocabulary of training.",
        )

    def start(self, memory: Memory) -> State:
        """Open the recurrence; every tensor of the state is [B, layers, H]."""
        size = rows_of(memory, self.memory_batch_dim)
        if self.first_state is not None:
            state = self._batch_first(self.first_state(memory))
        else:
            layers = 1 if self.is_cell else int(self.rnn.num_layers)  # type: ignore[arg-type]
            width = int(self.rnn.hidden_size)  # type: ignore[arg-type]
            zero = torch.zeros(size, layers, width, device=self.device)
            state = (zero, zero) if self.has_memory_cell else (zero,)
        if self.conditioning == "first-token":
            _, state = self._advance(self.project(memory), state)
        return state

    def step(self, token: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        """Feed one word a clip."""
        word = self.embedding(token.to(self.device))
        if self.conditioning in {"every-step", "attention"}:
            heard = self._heard(memory, state[0][:, -1])
            pair = [word, heard] if self.order == "word-first" else [heard, word]
            word = torch.cat(pair, dim=1)
        hidden, state = self._advance(word, state)
        return self.output(hidden), state

    def _heard(self, memory: Memory, hidden: Tensor) -> Tensor:
        """Give what stands beside each word, [R, C]: row r is of clip r // (rows / clips)."""
        if self.conditioning == "every-step":
            vector: Tensor = self.project(memory)
            return vector.repeat_interleave(len(hidden) // len(vector), dim=0)
        clips = rows_of(memory, self.memory_batch_dim) or len(hidden)
        each = len(hidden) // clips
        if each == 1:
            return self._context(memory, hidden)
        if self._spreads:
            # What an attention computes of the memory alone is so computed once for all rows of a
            # clip; most of its arithmetic is that.
            spread = torch.vmap(self._context, in_dims=(None, 1), out_dims=1)
            try:
                found: Tensor = spread(memory, hidden.view(clips, each, -1))
                return found.flatten(0, 1)
            except Exception:  # it branches on values, writes in place, calls C: row by row then
                self._spreads = False
        return self._context(_repeated(memory, each, self.memory_batch_dim), hidden)

    def _context(self, memory: Memory, hidden: Tensor) -> Tensor:
        heard = self.attention(memory, hidden) if self.attention is not None else memory
        context: Tensor = heard[0] if isinstance(heard, tuple) else heard
        return context

    def logits(self, prefix: Tensor, memory: Memory) -> Tensor:
        """[B, T] -> [B, V], word by word from the start."""
        state, scores = self.start(memory), None
        for token in prefix.unbind(dim=1):
            scores, state = self.step(token, state, memory)
        if scores is None:
            raise ValueError("the prefix is empty")
        return scores

    def _advance(self, given: Tensor, state: State) -> tuple[Tensor, State]:
        """[B, I] and the state -> [B, H] and the next state."""
        inner = tuple(part.transpose(0, 1).contiguous() for part in state)
        if self.is_cell:
            flat = tuple(part[0] for part in inner)
            new = self.rnn(given, flat if self.has_memory_cell else flat[0])
            return (new[0] if self.has_memory_cell else new), self._batch_first(new)
        batch_first = bool(self.rnn.batch_first)
        out, new = self.rnn(
            given.unsqueeze(1 if batch_first else 0), inner if self.has_memory_cell else inner[0]
        )
        hidden: Tensor = out[:, -1] if batch_first else out[-1]
        return hidden, self._batch_first(new)

    def _batch_first(self, state: Any) -> State:
        """[B, H] or [layers, B, H], single or paired -> tuple of [B, layers, H]."""
        parts = tuple(state) if isinstance(state, tuple | list) else (state,)
        if self.has_memory_cell and len(parts) == 1:
            parts = (parts[0], torch.zeros_like(parts[0]))
        return tuple(p.unsqueeze(1) if p.ndim == 2 else p.transpose(0, 1) for p in parts)


def _repeated(memory: Memory, each: int, axis: int) -> Memory:
    """Repeat the clips of a memory, the copies of one side by side."""
    if isinstance(memory, Tensor):
        return memory.repeat_interleave(each, dim=axis) if memory.ndim > axis else memory
    if isinstance(memory, dict):
        return {key: _repeated(part, each, axis) for key, part in memory.items()}
    if isinstance(memory, list | tuple):
        return type(memory)(_repeated(part, each, axis) for part in memory)
    return memory
