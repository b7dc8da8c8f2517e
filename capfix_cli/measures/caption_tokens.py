"""Captions as arrays of word numbers: the form that every corpus measure works on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from capfix_cli.core.text import in_word, spaced

Ints = NDArray[np.int64]

CHUNK = 50_000  # captions split at a time, so that their words are never all objects at once
_SPACE, _QUOTE, _HYPHEN = (ord(mark) for mark in " '-")
_ASCII = np.array([chr(code).isalnum() or chr(code) in "'-" for code in range(128)])


@dataclass(frozen=True, eq=False)
class Tokens:
    """Captions in words, word by word.

    Attributes:
        ids: [words] int32, the place of each word in the vocabulary, caption after caption.
        offsets: [captions + 1] int64; caption i is ``ids[offsets[i]:offsets[i + 1]]``.
        vocabulary: the words, each once.
    """

    ids: NDArray[np.int32]
    offsets: Ints
    vocabulary: Sequence[str]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Ints:
        """Words of each caption, [captions]."""
        return np.diff(self.offsets)

    def owners(self) -> Ints:
        """Give for each word the caption that it is in, [words]."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def take(self, index: Ints) -> Tokens:
        """Give the captions of an index, in its order; repeats are allowed."""
        lengths = self.lengths[index]
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        places = np.repeat(self.offsets[index] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return Tokens(self.ids[places], offsets, self.vocabulary)

    def text(self) -> str:
        """Join all words by spaces, as one text."""
        words = self.vocabulary
        return " ".join([words[place] for place in self.ids.tolist()])


@dataclass
class Vocabulary:
    """Numbers words in the order in which they come."""

    places: dict[str, int] = field(default_factory=dict)

    def number(self, words: Iterable[str]) -> NDArray[np.int32]:
        """Give each word's number; a new word gets the next one."""
        places = self.places
        return np.array([places.setdefault(w, len(places)) for w in words], dtype=np.int32)

    def words(self) -> list[str]:
        """List the words by number."""
        return list(self.places)


def tokenise(texts: Sequence[str], vocabulary: Vocabulary | None = None) -> Tokens:
    """Split captions into words as ``core.text.split_words`` does, all at once.

    Args:
        texts: captions.
        vocabulary: to number the words by, and to add new ones to.

    >>> tokens = tokenise(["A dog's bark, far-away!", "", "a bark"])
    >>> tokens.ids.tolist(), tokens.offsets.tolist()
    ([0, 1, 2, 3, 0, 2], [0, 4, 4, 6])
    """
    vocabulary = Vocabulary() if vocabulary is None else vocabulary
    ids, lengths = [], []
    for start in range(0, len(texts), CHUNK):
        words, counts = _split([spaced(text.lower()) for text in texts[start : start + CHUNK]])
        ids.append(vocabulary.number(words))
        lengths.append(counts)
    return _joined(ids, lengths, vocabulary)


def number_words(captions: Sequence[Sequence[str]], vocabulary: Vocabulary | None = None) -> Tokens:
    """Number captions that are in words already, by whatever tokeniser.

    >>> number_words([["a", "dog"], ["a"]]).ids.tolist()
    [0, 1, 0]
    """
    vocabulary = Vocabulary() if vocabulary is None else vocabulary
    ids = [vocabulary.number(word for caption in captions for word in caption)]
    return _joined(ids, [np.array([len(caption) for caption in captions])], vocabulary)


def _joined(
    ids: Sequence[NDArray[np.int32]], lengths: Sequence[Ints], vocabulary: Vocabulary
) -> Tokens:
    empty: list[NDArray[np.int32]] = [np.empty(0, np.int32)]
    none: list[Ints] = [np.zeros(1, np.int64)]
    offsets = np.cumsum(np.concatenate(none + [part.astype(np.int64) for part in lengths]))
    return Tokens(np.concatenate(empty + list(ids)), offsets, vocabulary.words())


def _split(lowered: Sequence[str]) -> tuple[list[str], Ints]:
    """Split lower-case captions into words; also count those of each caption."""
    joined = " ".join([*lowered, ""])
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
    ends = np.cumsum([len(text) + 1 for text in lowered])  # of the captions, a space included
    kept = np.zeros(len(codes), bool)
    plain = codes < len(_ASCII)
    kept[plain] = _ASCII[codes[plain]]
    if not plain.all():
        found, places = np.unique(codes[~plain], return_inverse=True)
        kept[~plain] = np.array([in_word(chr(code)) for code in found.tolist()])[places]
    _drop_outer_marks(codes, kept)
    begins = kept.copy()
    begins[1:] &= ~kept[:-1]
    words = np.where(kept, codes, np.uint32(_SPACE)).tobytes().decode("utf-32-le").split()
    return words, np.diff(np.cumsum(begins)[ends - 1], prepend=0)


def _drop_outer_marks(codes: NDArray[np.uint32], kept: NDArray[np.bool_]) -> None:
    """Blank runs of apostrophes and hyphens at the ends of words, in place."""
    marks = kept & ((codes == _QUOTE) | (codes == _HYPHEN))
    if not marks.any():
        return
    edges = np.flatnonzero(np.diff(marks.astype(np.int8), prepend=0, append=0))
    starts, ends = edges[::2], edges[1::2]  # a space ends each text, so no run reaches the end
    outer = ~kept[ends] | (starts == 0) | ~kept[starts - 1]
    runs = np.repeat(outer, ends - starts)
    kept[np.flatnonzero(marks)[runs]] = False
