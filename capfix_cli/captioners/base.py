"""The contract between capfix and any captioner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from capfix_cli.core.text import split_words

BLANK_SECONDS = 10.0  # of silence or noise: AudioCaps' clip length
NOISE_RMS = 0.1  # of full scale, -20 dBFS: as loud as recordings usually are

Memory = Any  # any nesting of tensors in tuples, lists and dicts
State = Any


class Captioner:
    """Anything that gives next-token logits for (audio, prefix).

    Subclass it and give the starred attributes and methods; the others have sound defaults.

    Attributes:
        sample_rate: * of the waveforms that ``encode`` takes, in Hz.
        vocabulary: * token id -> word (or override :meth:`detokenize`).
        bos_id: * the token that opens every caption.
        eos_id: * the token that ends every caption.
        pad_id: the token that fills batches, if there is one.
        unk_id: the token of unknown words, if there is one.
        max_length: most tokens of a caption, without begin.
        autoregressive: False where the logits ignore the prefix.
        module: the network, for integrity checks and layer traces.
        memory_batch_dim: the axis of the memory's tensors that counts clips.
        state_batch_dim: the axis of the state's tensors that counts rows.
        shares_memory: True where ``step`` and ``sequence_logits`` take several rows a clip over one
            memory of it: row r is of clip r // (rows / clips). Beams and samples of a clip then
            share what they hear; otherwise it is copied for each of them.
        min_samples: shortest clip that gives at least one frame, in samples.
        feature_width: D of the features [B, T, D] that :meth:`encode_features` takes, by the name
            of the field where it takes several; a captioner that gives it needs no
            ``sample_rate``, and then reads features alone.
    """

    sample_rate: int
    vocabulary: Sequence[str]
    bos_id: int
    eos_id: int
    pad_id: int | None = None
    unk_id: int | None = None
    max_length: int = 30
    autoregressive: bool = True
    module: nn.Module | None = None
    memory_batch_dim: int = 0
    state_batch_dim: int = 0
    shares_memory: bool = False
    min_samples: int = 1
    feature_width: int | Mapping[str, int] | None = None

    def encode(self, waveforms: Tensor, lengths: Tensor) -> Memory:
        """Turn audio into the decoder's memory (* must be given).

        Args:
            waveforms: [B, samples] float32 in [-1, 1], zero-padded at the end.
            lengths: [B] int64, samples of each clip.

        Returns:
            Any nesting of tensors whose axis ``memory_batch_dim`` has size B.
        """
        if type(self).encode_features is Captioner.encode_features:
            raise NotImplementedError(f"{type(self).__name__} must define encode()")
        return self.encode_features(*self.features(waveforms, lengths))

    def features(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Give the front end's features and their lengths in frames (optional)."""
        raise NotImplementedError(f"{type(self).__name__} does not separate its features")

    def encode_features(self, features: Tensor, lengths: Tensor) -> Memory:
        """Encode what :meth:`features` gave, or features that were given in place of audio.

        Args:
            features: [B, T, D], zero-padded at the end; int64 where they are codes. With several
                arrays a clip a dict of them by field; a field of one vector a clip is [B, 1, D].
            lengths: [B] int64, frames of each clip; a dict by field likewise.
        """
        raise NotImplementedError(f"{type(self).__name__} does not separate its features")

    def blank_audio(self, *, noise: bool, seed: int) -> tuple[Tensor, Tensor]:
        """Give what stands for "no audio": ten seconds of silence or of noise.

        Args:
            noise: at -20 dBFS, as loud as recordings usually are; silence otherwise.
            seed: of the noise.

        Returns:
            [1, samples] and its length, as :meth:`encode` takes them.
        """
        samples = max(self.min_samples, int(BLANK_SECONDS * self.sample_rate))
        waveform = torch.zeros(1, samples)
        if noise:
            generator = torch.Generator().manual_seed(seed)
            waveform = (NOISE_RMS * torch.randn(1, samples, generator=generator)).clamp(-1, 1)
        return waveform, torch.tensor([samples])

    def logits(self, prefix: Tensor, memory: Memory) -> Tensor:
        """Score the next token (* must be given).

        Args:
            prefix: [B, T] int64, begin token included.
            memory: of the same B clips.

        Returns:
            [B, V] unnormalised scores.
        """
        raise NotImplementedError(f"{type(self).__name__} must define logits()")

    def sequence_logits(self, tokens: Tensor, memory: Memory) -> Tensor:
        """Score every place of whole captions at once (optional, for speed).

        Args:
            tokens: [B, T] int64, as :meth:`logits` takes a prefix.
            memory: of the same B clips, or of fewer with ``shares_memory``.

        Returns:
            [B, T, V]; place t scores the token after ``tokens[:, :t + 1]``.
        """
        raise NotImplementedError(f"{type(self).__name__} scores one place at a time")

    def prepare(self, memory: Memory) -> Memory:
        """Compute what every step needs of a memory, once a decoding (optional, for speed).

        Returns:
            What :meth:`open`, :meth:`start`, :meth:`step` and :meth:`sequence_logits` take in its
            place.
        """
        return memory

    def open(self, memory: Memory) -> tuple[Tensor, State]:
        """Take the start prefix and score the first word of a caption.

        Returns:
            [B, V] scores and the state after the prefix, a row a clip.

        Raises:
            ValueError: ``start_prefix`` gave no token.
        """
        rows = rows_of(memory, self.memory_batch_dim)
        state, scores = self.start(memory), None
        prefix = self.start_prefix(rows).to(device_of(memory))
        for column in prefix.unbind(dim=1):
            scores, state = self.step(column, state, memory)
        if scores is None:
            raise ValueError(f"{type(self).__name__}.start_prefix() gave no token")
        return scores, state

    def rephrased(self) -> Mapping[str, Captioner]:
        """Give the same captioner asked in other words, by these (optional).

        They take this one's memories. Only a captioner that is told its task in words has any.
        """
        return {}

    def forbidden_tokens(self, position: int) -> Sequence[int]:
        """Name tokens that a caption must not have at a place, 0 being its first word."""
        return ()

    def start(self, memory: Memory) -> State:
        """Open an incremental decoding; the default keeps the prefix and calls ``logits``."""
        return None

    def step(self, token: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        """Take one token a clip and score the next.

        Args:
            token: [B] int64.
            state: what ``start`` or the last ``step`` gave; rows along ``state_batch_dim``.
            memory: of the same B clips.

        Returns:
            [B, V] scores and the new state.
        """
        token = token.unsqueeze(1)
        prefix = token if state is None else torch.cat([state, token], dim=1)
        return self.logits(prefix, memory), prefix

    def start_prefix(self, batch: int) -> Tensor:
        """Give the tokens that every caption begins with, [B, T0] int64."""
        return torch.full((batch, 1), self.bos_id, dtype=torch.long)

    def detokenize(self, ids: Sequence[int]) -> str:
        """Join the words of token ids, special tokens left out."""
        special = {self.bos_id, self.eos_id, self.pad_id}
        return " ".join(self.vocabulary[i] for i in ids if i not in special)

    def tokenize(self, text: str) -> list[int]:
        """Give the ids of a reference's words, without begin and end.

        Words outside the vocabulary become ``unk_id``, or are left out where there is none.
        """
        index = self._word_index()
        ids = (index.get(word, self.unk_id) for word in split_words(text))
        return [i for i in ids if i is not None]

    def loss(self, waveforms: Tensor, lengths: Tensor, captions: Sequence[str]) -> Tensor:
        """Give the training loss of a batch (optional; makes the captioner retrainable)."""
        raise NotImplementedError(f"{type(self).__name__} cannot be retrained: it has no loss()")

    def _word_index(self) -> dict[str, int]:
        cached: dict[str, int] | None = self.__dict__.get("_words")
        if cached is None:
            cached = {word: i for i, word in reversed(list(enumerate(self.vocabulary)))}
            self.__dict__["_words"] = cached
        return cached


def device_of(memory: Memory) -> torch.device:
    """Tell where a memory lies, by its first tensor off the CPU: tokens go there."""
    if isinstance(memory, Tensor):
        return memory.device
    if isinstance(memory, dict):
        memory = memory.values()
    elif not isinstance(memory, list | tuple):
        return torch.device("cpu")
    found = (device_of(part) for part in memory)
    return next((device for device in found if device.type != "cpu"), torch.device("cpu"))


def rows_of(memory: Memory, dim: int) -> int:
    """Count the clips of a memory by its first tensor that has the axis."""
    if isinstance(memory, Tensor):
        return memory.shape[dim] if memory.ndim > dim else 0
    if isinstance(memory, dict):
        memory = memory.values()
    elif not isinstance(memory, list | tuple):
        return 0
    return next((rows for part in memory if (rows := rows_of(part, dim))), 0)
