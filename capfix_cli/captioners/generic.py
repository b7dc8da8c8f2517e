"""Captioners around a user's own modules, one class for each way in which audio reaches words.

A usual model needs no subclass: build the network, load its weights, and name its parts.
docs/adapters.md has a worked file for each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from capfix_cli.captioners.base import Captioner, Memory, State, rows_of
from capfix_cli.captioners.vocabulary import Vocabulary
from capfix_cli.errors import CapfixError

RecurrentConditioning = Literal["initial-state", "first-token", "every-step", "attention"]
# Waveforms [B, samples] and lengths [B] -> features [B, frames, F] and lengths in frames [B].
FrontEnd = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class LogMelFrontEnd(nn.Module):
    """Mel spectrogram on a logarithmic scale, with torchaudio.

    Every default is a choice that training made: wrong features look exactly like a collapsed
    model, so none of them is guessed. ``mel`` takes what torchaudio's MelSpectrogram takes.

    Args:
        sample_rate: Hz.
        n_fft: samples a window.
        hop_length: samples between frames.
        n_mels: mel bands.
        log: ``ln``, ``log10``, ``db`` (10 log10 of power), or ``none``.
        floor: smallest value before the logarithm.
        mel: more of torchaudio's MelSpectrogram: power, f_min, f_max, norm, mel_scale, ...
    """

    def __init__(
        self,
        sample_rate: int,
        n_fft: int,
        hop_length: int,
        n_mels: int,
        log: Literal["ln", "log10", "db", "none"] = "ln",
        floor: float = 1e-10,
        **mel: Any,
    ) -> None:
        from torchaudio.transforms import MelSpectrogram

        super().__init__()
        self.sample_rate, self.hop_length, self.log, self.floor = (
            sample_rate,
            hop_length,
            log,
            floor,
        )
        self.mel = MelSpectrogram(sample_rate, n_fft, hop_length=hop_length, n_mels=n_mels, **mel)

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """[B, samples] and [B] -> [B, frames, n_mels] and [B] frames; padding is zero."""
        # Clip by clip: the last frames mirror a clip's end, which padding would put out of reach.
        clips = [
            self._scaled(self.mel(row[:length])).T
            for row, length in zip(waveforms, lengths.tolist(), strict=True)
        ]
        frames = torch.tensor([len(clip) for clip in clips], device=lengths.device)
        return pad_sequence(clips, batch_first=True), frames

    def _scaled(self, mel: Tensor) -> Tensor:
        if self.log == "none":
            return mel
        mel = mel.clamp_min(self.floor)
        mel = mel.log() if self.log == "ln" else mel.log10()
        return 10 * mel if self.log == "db" else mel


class Generic(Captioner):
    """What the generic captioners share: a front end, a vocabulary and the network.

    Args:
        module: the whole network, for eval mode and layer traces.
        encoder: features [B, frames, F] (and lengths [B] with ``encoder_takes_lengths``) -> the
            memory; waveforms where there is no front end.
        vocabulary: words and special ids.
        sample_rate: Hz of what ``encoder`` or ``front_end`` hears.
        front_end: waveforms -> features; None where the encoder takes waveforms.
        encoder_takes_lengths: hand it the lengths too.
        settings: other attributes of :class:`Captioner`: ``max_length``, ``memory_batch_dim``, ...
    """

    def __init__(
        self,
        module: nn.Module,
        encoder: Callable[..., Memory],
        vocabulary: Vocabulary,
        sample_rate: int,
        *,
        front_end: FrontEnd | None = None,
        encoder_takes_lengths: bool = False,
        **settings: Any,
    ) -> None:
        self.module, self.encoder, self.front_end = module, encoder, front_end
        self.sample_rate, self.encoder_takes_lengths = sample_rate, encoder_takes_lengths
        self.vocabulary = vocabulary.words
        self.bos_id, self.eos_id = vocabulary.bos_id, vocabulary.eos_id
        self.pad_id, self.unk_id = vocabulary.pad_id, vocabulary.unk_id
        self.min_samples = getattr(front_end, "min_samples", 1)
        for name, value in settings.items():
            if not hasattr(Captioner, name):
                raise CapfixError(
                    f"{type(self).__name__} has no setting {name!r}.",
                    "It takes max_length, memory_batch_dim, min_samples, ...",
                )
            setattr(self, name, value)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        weights = self.module.parameters() if self.module is not None else iter(())
        return next((w.device for w in weights), torch.device("cpu"))

    def features(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Waveforms -> features, both with their lengths."""
        waveforms, lengths = waveforms.to(self.device), lengths.to(self.device)
        return (
            (waveforms, lengths) if self.front_end is None else self.front_end(waveforms, lengths)
        )

    def encode_features(self, features: Tensor, lengths: Tensor) -> Memory:
        """Features -> memory."""
        return (
            self.encoder(features, lengths)
            if self.encoder_takes_lengths
            else self.encoder(features)
        )


class RecurrentCaptioner(Generic):
    """A GRU, LSTM or RNN (a layer or a cell) that hears the audio in one of four ways.

    - ``initial-state``: ``first_state(memory)`` gives the state; inputs are words alone.
    - ``first-token``: the memory, [B, E] or through ``project``, is the first input.
    - ``every-step``: the memory [B, C] stands beside each word.
    - ``attention``: ``attention(memory, hidden)`` gives the context [B, C] that does; hidden is
      [B, H], of the last layer.

    Args:
        embedding: [B] ids -> [B, E].
        rnn: ``nn.GRU``, ``nn.LSTM``, ``nn.RNN`` or a cell of them.
        output: [B, H] -> [B, V].
        conditioning: one of the four.
        first_state: memory -> state: [B, H], or [layers, B, H], or a pair (h, c) of them; without
            it the state begins at zero.
        attention: (memory, hidden) -> context.
        project: memory -> what the first token's place takes.
        order: ``word-first`` where training did cat([word, audio]), else ``audio-first``.
        common: as :class:`Generic` takes it.
    """

    def __init__(
        self,
        *,
        embedding: Callable[[Tensor], Tensor],
        rnn: nn.Module,
        output: Callable[[Tensor], Tensor],
        conditioning: RecurrentConditioning,
        first_state: Callable[[Any], Any] | None = None,
        attention: Callable[[Any, Tensor], Tensor] | None = None,
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
        self.embedding, self.rnn, self.output = embedding, rnn, output
        self.conditioning, self.order = conditioning, order
        self.first_state, self.attention = first_state, attention
        self.project = project or (lambda memory: memory)
        self.is_cell = isinstance(rnn, nn.RNNCellBase)
        self.has_memory_cell = isinstance(rnn, nn.LSTM | nn.LSTMCell)

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
            heard = self.project(memory)
            if self.attention is not None:
                heard = self.attention(memory, state[0][:, -1])
            pair = [word, heard] if self.order == "word-first" else [heard, word]
            word = torch.cat(pair, dim=1)
        hidden, state = self._advance(word, state)
        return self.output(hidden), state

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


class EncodeDecodeCaptioner(Generic):
    """A network whose decoder scores a whole prefix over a memory: Transformers and the like.

    Args:
        decode: (memory, prefix [B, T]) -> [B, T, V], or [B, V] of the last place.
        time_first: the decoder takes [T, B] and gives [T, B, V], as nn.Transformer does.
        common: as :class:`Generic` takes it; ``memory_batch_dim=1`` for a memory of [T, B, D].
    """

    def __init__(
        self, *, decode: Callable[[Any, Tensor], Tensor], time_first: bool = False, **common: Any
    ) -> None:
        super().__init__(**common)
        self.decode, self.time_first = decode, time_first

    def logits(self, prefix: Tensor, memory: Memory) -> Tensor:
        """[B, T] -> [B, V]."""
        prefix = prefix.to(self.device)
        scores = self.decode(memory, prefix.T if self.time_first else prefix)
        if scores.ndim == 3:
            scores = scores[-1] if self.time_first else scores[:, -1]
        return scores

    def sequence_logits(self, tokens: Tensor, memory: Memory) -> Tensor:
        """[B, T] -> [B, T, V], where the decoder gives all places."""
        tokens = tokens.to(self.device)
        scores = self.decode(memory, tokens.T if self.time_first else tokens)
        if scores.ndim != 3:
            raise NotImplementedError("the decoder gives the last place alone")
        return scores.transpose(0, 1) if self.time_first else scores


class NonAutoregressiveCaptioner(Generic):
    """A network that gives all words at once and never sees one, as the DCASE 2020 baseline.

    The encoder gives the scores themselves, [B, T, V]; a caption's t-th word is read from the
    t-th place, whatever came before.
    """

    autoregressive = False

    def __init__(self, **common: Any) -> None:
        super().__init__(**common)

    def logits(self, prefix: Tensor, memory: Memory) -> Tensor:
        """[B, T] -> [B, V] of place T, the end token's where the places are over."""
        place = prefix.shape[1] - 1
        scores: Tensor = memory
        if place < scores.shape[1]:
            return scores[:, place]
        over = torch.full_like(scores[:, 0], -1e4)
        over[:, self.eos_id] = 0.0
        return over
