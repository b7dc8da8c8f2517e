"""How likely a captioner finds a given caption for a given clip."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from capfix_cli.captioners.base import Captioner, Memory
from capfix_cli.decoding import nested_tensors as nested
from capfix_cli.decoding.caption_scoring import Tokens, rows_at_once, score_sequences
from capfix_cli.decoding.decode import EncodedBatch
from capfix_cli.probes.captioner_errors import probe_failure

Pair = tuple[Tokens, str]  # a caption and the name of the clip on which it is tried

ROWS = 512  # (caption, clip) pairs scored at once: bounds memory, and wide enough for two cores
SHARED_APART = 1e-3  # of a caption's score: float32 in another order is a hundredth of it
MOST_BYTES = 2**27  # of memories copied for pairs scored at once, 128 MiB


class Scorer:
    """Scores captions under the memories of clips, each pair once.

    Args:
        captioner: gives the logits.
        chunks: the memories of all clips that may be asked for.
    """

    def __init__(self, captioner: Captioner, chunks: Sequence[EncodedBatch]) -> None:
        self.captioner = captioner
        self.chunks = chunks
        self.place = {
            name: (number, row)
            for number, chunk in enumerate(chunks)
            for row, name in enumerate(chunk.names)
        }
        self._sharing_known = False
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
        for number, group in itertools.groupby(fresh, lambda pair: self.place[pair[1]][0]):
            self._score_chunk(number, list(group))
        return np.array([self._known[pair] for pair in pairs], dtype=np.float64)

    @torch.inference_mode()
    def _score_chunk(self, number: int, pairs: Sequence[Pair]) -> None:
        """Score pairs whose clips are all of one chunk."""
        chunk, dim = self.chunks[number], self.captioner.memory_batch_dim
        if self._shares(number, pairs):
            for clips, captions in self._blocks(pairs):
                memory = self._memory(number, clips)
                # The first memory prepared may show that sharing does not work after all.
                if not self.captioner.shares_memory:
                    break
                self._keep(captions, score_sequences(self.captioner, memory, *_flat(captions)))
            else:
                return
        size = min(ROWS, max(1, MOST_BYTES // max(1, _bytes(chunk.memory, dim))))
        start = 0
        while start < len(pairs):
            places = len(pairs[min(start + size, len(pairs)) - 1][0])
            group = pairs[start : start + rows_at_once(self.captioner, places, size)]
            start += len(group)
            memory = self._memory(number, [name for _, name in group])
            texts = [tokens for tokens, _ in group]
            scores = score_sequences(self.captioner, memory, texts, len(group))
            self._known.update(zip(group, scores.tolist(), strict=True))

    def _shares(self, number: int, pairs: Sequence[Pair]) -> bool:
        """Say whether several captions of a clip can share its memory, as the captioner says.

        Tried once on two captions each of two clips against a memory for each: a captioner that
        cannot, or that mixes up rows, is then scored without.
        """
        captioner = self.captioner
        if not captioner.shares_memory or self._sharing_known:
            return captioner.shares_memory
        names = list(dict.fromkeys(name for _, name in pairs))[:2]
        texts = sorted({tokens for tokens, _ in pairs}, key=len)[-2:]
        if len(names) < 2 or len(texts) < 2:
            return True
        self._sharing_known = True
        rows = [tokens for _ in names for tokens in texts]
        try:
            shared = score_sequences(captioner, self._memory(number, names), rows, len(names))
        except Exception as error:
            if probe_failure(error) is None:
                raise
            shared = None
        if not captioner.shares_memory:  # its own preparation said so
            return False
        captioner.shares_memory = False
        each = [name for name in names for _ in texts]
        alone = score_sequences(captioner, self._memory(number, each), rows, len(each))
        size = alone.abs().max().clamp_min(1.0)
        if shared is not None and float((shared - alone).abs().max() / size) < SHARED_APART:
            captioner.shares_memory = True
        return captioner.shares_memory

    def _memory(self, number: int, names: Sequence[str]) -> Memory:
        """Select the memory of clips of a chunk and prepare it."""
        rows = torch.tensor([self.place[name][1] for name in names])
        dim = self.captioner.memory_batch_dim
        return self.captioner.prepare(nested.select(self.chunks[number].memory, rows, dim))

    def _blocks(self, pairs: Sequence[Pair]) -> Iterator[tuple[list[str], dict[str, list[Tokens]]]]:
        """Gather captions by clip into blocks that are scored together."""
        by_clip: dict[str, list[Tokens]] = {}
        for tokens, name in pairs:
            by_clip.setdefault(name, []).append(tokens)
        places = max(len(tokens) for tokens, _ in pairs)
        most = rows_at_once(self.captioner, places, ROWS)
        # Clips with equally many captions together: the others of a block are filled up to them.
        order = sorted(by_clip, key=lambda name: (len(by_clip[name]), name))
        block: list[str] = []
        for name in order:
            # A clip whose captions alone are too many comes in parts.
            for start in range(0, len(by_clip[name]), most):
                part = by_clip[name][start : start + most]
                if block and (name in block or (len(block) + 1) * len(part) > most):
                    yield block, {other: by_clip[other] for other in block}
                    block = []
                if len(part) < len(by_clip[name]):
                    yield [name], {name: part}
                else:
                    block.append(name)
        if block:
            yield block, {other: by_clip[other] for other in block}

    def _keep(self, captions: Mapping[str, Sequence[Tokens]], scores: Tensor) -> None:
        most = max(map(len, captions.values()))
        for row, (name, own) in zip(scores.view(-1, most), captions.items(), strict=True):
            for tokens, score in zip(own, row.tolist(), strict=False):
                self._known[tokens, name] = score


def _flat(captions: Mapping[str, Sequence[Tokens]]) -> tuple[list[Tokens], int]:
    """Give equally many captions of each clip, clip by clip, and the number of clips."""
    most = max(map(len, captions.values()))
    filled = [[*own, *[own[0]] * (most - len(own))] for own in captions.values()]
    return [tokens for own in filled for tokens in own], len(captions)


def _bytes(memory: Memory, dim: int) -> int:
    """Bytes of one clip's memory."""
    sizes: list[int] = []

    def look(tensor: Tensor) -> Tensor:
        if tensor.ndim > dim and tensor.shape[dim]:
            sizes.append(tensor.element_size() * tensor.numel() // tensor.shape[dim])
        return tensor

    nested.apply(memory, look)
    return sum(sizes)
