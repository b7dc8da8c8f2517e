"""Captioners around a user's own modules, one class for each way in which audio reaches words.

A usual model needs no subclass: build the network, load its weights, and name its parts.
docs/adapters.md has a worked file for each; those with a recurrent decoder are in recurrent.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from capfix_cli.captioners.base import Captioner, Memory
from capfix_cli.captioners.log_mel import FrontEnd
from capfix_cli.checkpoints.vocabulary import Vocabulary
from capfix_cli.core.errors import CapfixError
from capfix_cli.core.suggest import nearest


class Generic(Captioner):
    """What the generic captioners share: a front end, a vocabulary and the network.

    Args:
        module: the whole network, for eval mode and layer traces.
        encoder: features [B, frames, F] (and lengths [B] with ``encoder_takes_lengths``) -> the
            memory; waveforms where there is no front end.
        vocabulary: words and special ids.
        sample_rate: Hz of what ``encoder`` or ``front_end`` hears; by default the front end's.
            None for an encoder that takes features in place of audio: give ``feature_width``.
        front_end: waveforms -> features; None where the encoder takes waveforms.
        encoder_takes_lengths: hand it the lengths too.
        settings: other attributes of :class:`Captioner`: ``max_length``, ``memory_batch_dim``, ...
    """

    def __init__(
        self,
        module: nn.Module,
        encoder: Callable[..., Memory],
        vocabulary: Vocabulary,
        sample_rate: int | None = None,
        *,
        front_end: FrontEnd | None = None,
        encoder_takes_lengths: bool = False,
        **settings: Any,
    ) -> None:
        if not isinstance(vocabulary, Vocabulary):
            raise CapfixError(
                f"{type(self).__name__} is given a {type(vocabulary).__name__} as its vocabulary.",
                "Make one of it: capfix_cli.load_vocabulary(words, bos=..., eos=...)",
            )
        self.module, self.encoder, self.front_end = module, encoder, front_end
        rate = getattr(front_end, "sample_rate", None) if sample_rate is None else sample_rate
        if rate is None and settings.get("feature_width") is None:
            raise CapfixError(
                f"{type(self).__name__} is not told the sample rate.",
                "Give sample_rate=, in Hz; or feature_width= where the encoder takes features.",
            )
        self.sample_rate, self.encoder_takes_lengths = rate or 0, encoder_takes_lengths
        self.vocabulary = vocabulary.words
        self.bos_id, self.eos_id = vocabulary.bos_id, vocabulary.eos_id
        self.pad_id, self.unk_id = vocabulary.pad_id, vocabulary.unk_id
        self.min_samples = getattr(front_end, "min_samples", 1)
        for name, value in settings.items():
            if not hasattr(Captioner, name):
                near = nearest(name, ("encoder", *vars(Captioner)))
                raise CapfixError(
                    f"{type(self).__name__} has no setting {name!r}.",
                    f"Did you mean {near}?"
                    if near
                    else "It takes max_length, memory_batch_dim, min_samples, ...",
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
