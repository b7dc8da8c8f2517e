"""Sentences as arrays of n-gram counts, the common ground of the measures that use references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Grams:
    """How often each sentence says each n-gram, for one n.

    Attributes:
        key: ascending ``row * grams + gram`` of each sentence and n-gram that it says.
        row: sentence of each key.
        gram: n-gram of each key.
        count: how often, at least 1.
        grams: how many different n-grams all sentences say.
    """

    key: Integers
    row: Integers
    gram: Integers
    count: Integers
    grams: int

    def part(self, first: int, last: int) -> Grams:
        """Give the sentences ``first`` to ``last`` (not included), numbered from 0."""
        low, high = np.searchsorted(self.row, [first, last])
        row = self.row[low:high] - first
        gram = self.gram[low:high]
        return Grams(row * self.grams + gram, row, gram, self.count[low:high], self.grams)

    def counts_of(self, row: Integers, gram: Integers) -> Integers:
        """Look up how often sentence ``row[i]`` says ``gram[i]``; 0 where it does not."""
        if not len(self.key):
            return np.zeros(len(row), dtype=np.int64)
        wanted = row * self.grams + gram
        place = np.minimum(np.searchsorted(self.key, wanted), len(self.key) - 1)
        return np.where(self.key[place] == wanted, self.count[place], 0)


def count_grams(sentences: Sequence[Sequence[str]], longest: int = 4) -> list[Grams]:
    """Count the 1-grams to ``longest``-grams of all sentences, none crossing from one to the next.

    Each n-gram's number is made of its first n - 1 words' number and its last word's, so the work
    is ``longest`` sorts of as many numbers as there are words.
    """
    numbers: dict[str, int] = {}
    flat = np.fromiter(
        (numbers.setdefault(word, len(numbers)) for words in sentences for word in words), np.int64
    )
    row = np.repeat(np.arange(len(sentences)), [len(words) for words in sentences])
    prefix, place = flat, np.arange(len(flat))
    found = []
    for n in range(1, longest + 1):
        if n > 1:
            ends = place + n - 1
            inside = ends < len(flat)
            inside[inside] = row[ends[inside]] == row[place[inside]]
            place = place[inside]
            _, prefix = np.unique(
                prefix[inside] * max(1, len(numbers)) + flat[place + n - 1], return_inverse=True
            )
        grams = int(prefix.max()) + 1 if len(prefix) else 1
        key, count = np.unique(row[place] * grams + prefix, return_counts=True)
        found.append(Grams(key, key // grams, key % grams, count.astype(np.int64), grams))
    return found
