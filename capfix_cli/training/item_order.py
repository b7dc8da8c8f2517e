"""Which clip and which of its captions come when: balance, curriculum and order.

Everything is a pure function of the seed and the epoch, so a training that is resumed draws what
the uninterrupted one would have drawn, with no generator's state to keep.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from capfix_cli.core.randomness import stream
from capfix_cli.core.text import split_words
from capfix_cli.diagnosis.training_data.content_words import specific_words
from capfix_cli.training.schedules import CURRICULA
from capfix_cli.training.training_config import DataOptions, TrainingOptions

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Item:
    """One clip with one of its captions, in one epoch."""

    clip: int
    caption: int
    epoch: int


def kinds_of(captions: Sequence[Sequence[str]]) -> list[str]:
    """Name each clip's kind: of the words in its captions that say something, the commonest.

    Commonest over the whole file, so that 1000 clips of people walking are one kind however each
    is put, and the alarm clock stays apart.
    """
    words = [
        {word for text in texts for word in specific_words(text)} or {"(vague)"}
        for texts in captions
    ]
    count = Counter(word for own in words for word in own)
    return [max(own, key=lambda word: (count[word], word)) for own in words]


def class_weights(kinds: Sequence[str], power: float) -> NDArray[np.float64]:
    """Weigh each clip by its kind's frequency to ``-power``; the weights sum to 1 (fix 4.1)."""
    count = Counter(kinds)
    weights = np.array([float(count[kind]) ** -power for kind in kinds], dtype=np.float64)
    share: NDArray[np.float64] = weights / weights.sum()
    return share


def balanced(
    kinds: Sequence[str], options: DataOptions, generator: np.random.Generator
) -> Integers:
    """Choose the clips of an epoch, in their order; without balance each comes once."""
    size = len(kinds)
    if not options.balance:
        return generator.permutation(size)
    if options.balance_by == "weights":
        return generator.choice(size, size, p=class_weights(kinds, options.balance))
    count = Counter(kinds)
    end = max(count.values()) if options.balance_by == "oversampling" else min(count.values())
    places: Mapping[str, list[int]] = {kind: [] for kind in sorted(count)}
    for index, kind in enumerate(kinds):
        places[kind].append(index)
    chosen: list[int] = []
    for own in places.values():
        # From n towards the largest or smallest kind, evenly on a scale of ratios.
        wanted = max(1, round(len(own) * (end / len(own)) ** options.balance))
        whole, rest = divmod(wanted, len(own))
        chosen += own * whole + generator.permutation(own)[:rest].tolist()
    return generator.permutation(np.array(chosen))


class Epochs:
    """The items of every epoch.

    Args:
        captions: of each clip.
        training: seed, epochs and curriculum.
        data: balance.
    """

    def __init__(
        self, captions: Sequence[Sequence[str]], training: TrainingOptions, data: DataOptions
    ) -> None:
        self.training = training
        self.data = data
        self.counts = [len(texts) for texts in captions]
        self.kinds = kinds_of(captions) if data.balance else [""] * len(captions)
        lengths = [[len(split_words(text)) for text in texts] for texts in captions]
        self._limits = np.sort(np.array([n for own in lengths for n in own]))
        self._lengths = lengths
        self.size = len(balanced(self.kinds, data, np.random.default_rng(0)))

    def longest(self, epoch: int) -> int:
        """Most words that a caption may have in an epoch counted from 0 (fix 3.5)."""
        share = CURRICULA[self.training.curriculum](epoch / self.training.epochs)
        place = max(1, int(np.ceil(share * len(self._limits) - 1e-9)))
        return int(self._limits[place - 1])

    def items(self, epoch: int) -> list[Item]:
        """Give an epoch's clips and captions; every epoch has the same number."""
        seed = self.training.seed
        order = balanced(self.kinds, self.data, stream(seed, "training.order", epoch))
        draws = stream(seed, "training.caption", epoch).random(len(order))
        longest = self.longest(epoch)
        allowed = [
            [place for place, length in enumerate(own) if length <= longest]
            for own in self._lengths
        ]
        usable = [int(clip) for clip in order if allowed[clip]]
        # Clips whose captions are all too long yet give way to others, which come again: an
        # epoch's length is the budget, and a curriculum must not make it smaller.
        full = [usable[place % len(usable)] for place in range(len(order))]
        return [
            Item(clip, allowed[clip][int(draw * len(allowed[clip]))], epoch)
            for clip, draw in zip(full, draws, strict=True)
        ]


@dataclass(frozen=True)
class Part:
    """One process's part of a batch: every ``world``-th of its items, from ``rank`` on."""

    items: list[Item]
    rank: int = 0
    world: int = 1


class Batches(Sampler[Part]):
    """Batches of an epoch for a DataLoader without batching of its own.

    Lightning tells a sampler the epoch by ``set_epoch``. With several processes each takes its
    part of every batch, so that together they see what one would.
    """

    def __init__(self, epochs: Epochs, batch_size: int, rank: int = 0, world: int = 1) -> None:
        self.epochs = epochs
        self.batch_size = batch_size
        self.rank, self.world = rank, world
        self.epoch = 0
        self.done = 0  # batches of the epoch that a training which is resumed has had

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration gives."""
        self.epoch = epoch

    def __len__(self) -> int:
        # A last batch of few clips would have no batch statistics worth the name.
        return max(1, self.epochs.size // self.batch_size)

    def __iter__(self) -> Iterator[Part]:
        items = self.epochs.items(self.epoch)
        first, self.done = self.done, 0
        for start in range(first, len(self)):
            batch = items[start * self.batch_size : (start + 1) * self.batch_size]
            yield Part(batch, self.rank, self.world)
