"""The n-grams of all captions, sorted: what distinct-n, self-BLEU and their kin are summed from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capfix_cli.measures.caption_tokens import Ints, Tokens

ORDER = 4  # longest n-gram, as in BLEU-4
BITS = 63  # of a number that is not negative


@dataclass(frozen=True, eq=False)
class Ngrams:
    """The n-grams of one length, one row for each n-gram and caption that has it.

    Attributes:
        n: words of an n-gram.
        caption: [rows] which caption.
        count: [rows] how often it has the n-gram.
        starts: [n-grams] the first row of each n-gram; rows are sorted by n-gram, then caption.
        gram: [rows] which n-gram, ascending from 0.
        captions: how many captions there are.
    """

    n: int
    caption: Ints
    count: Ints
    starts: Ints
    gram: Ints
    captions: int

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def spans(self) -> Ints:
        """Rows of each n-gram, [n-grams]."""
        return spans(self.starts, len(self.caption))

    def shared(self, counts: Ints | None = None) -> Ngrams:
        """Keep the n-grams that more than one caption has, repeats of a caption counted.

        Args:
            counts: [captions] how often each was said; once, where it is not given.
        """
        more = self.spans > 1
        if counts is not None:
            more |= counts[self.caption[self.starts]] > 1
        if more.all():
            return self
        rows = np.flatnonzero(self.each(more))
        gram = (np.cumsum(more) - 1)[self.gram[rows]]
        starts = np.flatnonzero(changes(gram))
        return Ngrams(self.n, self.caption[rows], self.count[rows], starts, gram, self.captions)

    def each(self, per_gram: NDArray[np.generic]) -> NDArray[np.generic]:
        """Give every row the value of its n-gram."""
        return np.repeat(per_gram, self.spans)

    def sum_by_caption(self, per_row: NDArray[np.generic]) -> NDArray[np.float64]:
        """Add up a row's values by caption, [captions]."""
        sums = np.bincount(self.caption, weights=per_row, minlength=self.captions)
        return sums.astype(np.float64, copy=False)


def ngrams_of(tokens: Tokens, longest: int = ORDER, groups: Ints | None = None) -> Iterator[Ngrams]:
    """Give the n-grams of lengths 1, 2, ... in turn, in O(words log words) each.

    An n-gram's number is its first n-1 words' number followed by its last word's, so that numbers
    are exact (no hash); where they would outgrow 63 bits they are ranked.

    Args:
        tokens: the captions.
        longest: the largest n.
        groups: [captions]; the same words in another group are another n-gram.
    """
    owners = tokens.owners()
    left = np.repeat(tokens.offsets[1:], tokens.lengths) - np.arange(len(owners))
    number = np.zeros(len(owners), np.int64) if groups is None else groups[owners]
    places = np.arange(len(owners))  # of the n-grams' first words
    width = 0 if groups is None else int(groups.max(initial=0)).bit_length()
    word, owner = len(tokens.vocabulary).bit_length(), len(tokens).bit_length()
    for n in range(1, longest + 1):
        whole = left[places] >= n  # words from here to the caption's end
        places, number = places[whole], number[whole]
        if width + word > BITS:
            number, width = _ranked(number)
        number = (number << word) | tokens.ids[places + n - 1]
        width += word
        if width + owner > BITS:
            number, width = _ranked(number)
        yield _sorted(n, (number << owner) | owners[places], len(tokens))


def _ranked(number: Ints) -> tuple[Ints, int]:
    """Number n-grams anew, in the same order and without gaps; also give the bits needed."""
    order = np.argsort(number)
    ranks = np.cumsum(changes(number[order])) - 1
    found = np.empty_like(number)
    found[order] = ranks
    return found, int(ranks[-1:].max(initial=0)).bit_length()


def _sorted(n: int, rows: Ints, captions: int) -> Ngrams:
    """Sort n-grams by number, then caption; a row is both in one, the caption in the low bits."""
    rows.sort()
    owner = captions.bit_length()
    places = np.flatnonzero(changes(rows))
    counts = spans(places, len(rows))
    rows = rows[places]
    new = changes(rows >> owner)
    gram = np.cumsum(new) - 1
    return Ngrams(n, rows & ((1 << owner) - 1), counts, np.flatnonzero(new), gram, captions)


def changes(ranked: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Say where a sorted array has a new value."""
    new = np.ones(len(ranked), bool)
    np.not_equal(ranked[1:], ranked[:-1], out=new[1:])
    return new


def spans(starts: Ints, end: int) -> Ints:
    """Give the lengths of the stretches that begin at ``starts``, the last one up to ``end``."""
    found = np.empty(len(starts), np.int64)
    np.subtract(starts[1:], starts[:-1], out=found[:-1])
    found[-1:] = end - starts[-1:]
    return found
