"""Captions counted: an accumulator that is exact, mergeable and saved without pickle."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from capfix_cli.core.errors import CapfixError
from capfix_cli.measures.caption_tokens import Ints, Tokens, Vocabulary, number_words, tokenise
from capfix_cli.measures.ngrams import changes

FORMAT = "capfix.corpus/1"
_STEP = np.uint64(0x9E3779B97F4A7C15)  # odd: its powers tell places in a caption apart
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


@dataclass(frozen=True, eq=False)
class Counted:
    """A multiset of captions, in an order that depends on nothing but the captions.

    Attributes:
        tokens: the distinct captions; the vocabulary is sorted and holds no other words.
        counts: [distinct captions] int64, how often each was said.
        unended: captions that never came to their end token; None where that is not known.
    """

    tokens: Tokens
    counts: Ints
    without_end: int | None = None

    @property
    def total(self) -> int:
        """All captions, repeats included."""
        return int(self.counts.sum())

    def said(self) -> Ints:
        """Give for each caption said its place among the distinct ones, [total]."""
        return np.repeat(np.arange(len(self.counts)), self.counts)


class Corpus:
    """Counts captions as they come.

    Every corpus measure is a function of how often each caption was said, and of nothing else. So
    this one accumulator serves them all, exactly: shards that are merged give, to the last bit,
    what one pass over all captions gives, in whatever order. Memory is linear in the words of the
    distinct captions (4 bytes a word).

    >>> one, other = Corpus(), Corpus()
    >>> one.update(["A dog barks.", "rain"])
    >>> other.update(["a dog barks"])
    >>> one.merge(other)
    >>> one.counted().counts.tolist(), one.counted().total
    ([2, 1], 3)
    """

    def __init__(self) -> None:
        self._vocabulary = Vocabulary()
        self._parts: list[Tokens] = []
        self._counts: list[Ints] = []
        self._pending = 0
        self._without_end: int | None = None

    def update(self, texts: Sequence[str], ended: Sequence[bool] | None = None) -> None:
        """Add captions, split by capfix's own rule.

        Args:
            texts: captions.
            ended: for each, whether it came to its end token, where that is known.
        """
        self._add(tokenise(texts, self._vocabulary), ended)

    def update_words(
        self, captions: Sequence[Sequence[str]], ended: Sequence[bool] | None = None
    ) -> None:
        """Add captions that are in words already."""
        self._add(number_words(captions, self._vocabulary), ended)

    def merge(self, other: Corpus) -> None:
        """Add all captions of another accumulator, which stays as it is."""
        there = other.counted()
        places = self._vocabulary.number(there.tokens.vocabulary)
        ids = places[there.tokens.ids] if len(places) else there.tokens.ids
        self._keep(Tokens(ids, there.tokens.offsets, ()), there.counts)
        if there.without_end is not None:
            self._without_end = (self._without_end or 0) + there.without_end

    def counted(self) -> Counted:
        """Give the captions so far, each once, with how often it was said."""
        self._compact()
        tokens = _joined(self._parts)
        words = self._vocabulary.words()
        ranks = sorted(range(len(words)), key=words.__getitem__)
        places = np.empty(len(words), np.int32)
        places[ranks] = np.arange(len(words), dtype=np.int32)
        ids = places[tokens.ids] if len(words) else tokens.ids
        counts = np.concatenate([np.empty(0, np.int64), *self._counts])
        ordered = Tokens(ids, tokens.offsets, [words[rank] for rank in ranks])
        return Counted(ordered, counts, self._without_end)

    def save(self, path: str | Path) -> None:
        """Write the counts as an NPZ file of plain arrays."""
        counted = self.counted()
        words = [word.encode("utf-8", "surrogatepass") for word in counted.tokens.vocabulary]
        with Path(path).open("wb") as file:
            np.savez_compressed(
                file,
                format=np.frombuffer(FORMAT.encode(), np.uint8),
                words=np.frombuffer(b"".join(words), np.uint8),
                word_lengths=np.array([len(word) for word in words], np.int64),
                ids=counted.tokens.ids,
                offsets=counted.tokens.offsets,
                counts=counted.counts,
                unended=np.array(-1 if counted.without_end is None else counted.without_end),
            )

    @classmethod
    def load(cls, path: str | Path) -> Corpus:
        """Read what :meth:`save` wrote.

        Raises:
            CapfixError: it is not such a file.
        """
        hint = "Give a file that capfix's own Corpus.save wrote."
        try:
            with Path(path).open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                data = {name: file[name] for name in file.files}
            _check(data)
            ends = np.cumsum(data["word_lengths"])
            blob = data["words"].tobytes()
            words = [
                blob[end - length : end].decode("utf-8", "surrogatepass")
                for end, length in zip(ends.tolist(), data["word_lengths"].tolist(), strict=True)
            ]
        except (OSError, ValueError, KeyError, EOFError, AttributeError, BadZipFile) as error:
            raise CapfixError(f"{path} is no file of counted captions: {error}.", hint) from error
        corpus = cls()
        corpus._vocabulary.number(words)
        if len(corpus._vocabulary.places) != len(words):
            raise CapfixError(f"{path} is no file of counted captions: a word is twice.", hint)
        corpus._keep(Tokens(data["ids"], data["offsets"], ()), data["counts"])
        corpus._without_end = None if data["unended"] < 0 else int(data["unended"])
        return corpus

    def _add(self, tokens: Tokens, ended: Sequence[bool] | None) -> None:
        if ended is not None:
            if len(ended) != len(tokens):
                raise ValueError(f"{len(ended)} ends for {len(tokens)} captions")
            self._without_end = (self._without_end or 0) + len(ended) - sum(map(bool, ended))
        self._keep(tokens, np.ones(len(tokens), np.int64))

    def _keep(self, tokens: Tokens, counts: Ints) -> None:
        self._parts.append(Tokens(tokens.ids, tokens.offsets, ()))
        self._counts.append(counts)
        self._pending += len(tokens)
        if self._pending > 200_000 and self._pending > len(self._parts[0]):
            self._compact()

    def _compact(self) -> None:
        """Join equal captions, and put them in an order of their own."""
        if not self._pending:
            return
        tokens = _joined(self._parts)
        heads, groups = same_captions(tokens, self._vocabulary.words())
        counts = np.concatenate(self._counts)
        totals = np.zeros(len(heads), np.int64)
        np.add.at(totals, groups, counts)
        self._parts, self._counts, self._pending = [tokens.take(heads)], [totals], 0


def same_captions(tokens: Tokens, words: Sequence[str]) -> tuple[Ints, Ints]:
    """Find which captions are the same, word by word.

    They are sorted by a 64-bit hash of their words, and what has the same hash is then compared,
    so that the answer is exact.

    Returns:
        [distinct] the place of one caption of each kind, by hash; [captions] the kind of each.
    """
    hashes = caption_hashes(tokens, words)
    order = np.argsort(hashes, kind="stable")
    ranked = hashes[order]
    new = changes(ranked)
    kinds = np.cumsum(new) - 1
    heads = order[new]
    groups = np.empty(len(order), np.int64)
    groups[order] = kinds
    if len(heads) < len(order) and not _equal(tokens, heads[groups]):
        return _same_by_words(tokens)
    return heads, groups


def caption_hashes(tokens: Tokens, words: Sequence[str]) -> NDArray[np.uint64]:
    """Hash each caption's words in order: 64 bits, the same on every machine.

    Returns:
        [captions].
    """
    values = np.array(
        [
            int.from_bytes(
                hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(),
                "little",
            )
            for word in words
        ],
        dtype=np.uint64,
    )
    lengths = tokens.lengths
    longest = int(lengths.max(initial=0))
    powers = np.cumprod(np.full(longest + 1, _STEP))
    places = np.arange(len(tokens.ids)) - np.repeat(tokens.offsets[:-1], lengths)
    terms = (values[tokens.ids] if len(values) else np.empty(0, np.uint64)) * powers[places]
    sums = np.concatenate(([np.uint64(0)], np.cumsum(terms, dtype=np.uint64)))
    mixed = sums[tokens.offsets[1:]] - sums[tokens.offsets[:-1]]
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX[0]
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX[1]
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))


def _equal(tokens: Tokens, heads: Ints) -> bool:
    """Say whether each caption equals the one named for it."""
    if not np.array_equal(tokens.lengths, tokens.lengths[heads]):
        return False
    return np.array_equal(tokens.ids, tokens.take(heads).ids)


def _same_by_words(tokens: Tokens) -> tuple[Ints, Ints]:
    """Do the same slowly, for the case that a hash met another's."""
    kinds: dict[bytes, int] = {}
    heads, groups = [], []
    for place, (start, end) in enumerate(
        zip(tokens.offsets[:-1].tolist(), tokens.offsets[1:].tolist(), strict=True)
    ):
        key = tokens.ids[start:end].tobytes()
        if key not in kinds:
            kinds[key] = len(kinds)
            heads.append(place)
        groups.append(kinds[key])
    return np.array(heads, np.int64), np.array(groups, np.int64)


def _joined(parts: Sequence[Tokens]) -> Tokens:
    if len(parts) == 1:
        return parts[0]
    lengths = np.concatenate([np.empty(0, np.int64), *(part.lengths for part in parts)])
    ids = np.concatenate([np.empty(0, np.int32), *(part.ids for part in parts)])
    return Tokens(ids, np.concatenate(([0], np.cumsum(lengths))), ())


def _check(data: dict[str, NDArray[np.generic]]) -> None:
    """Refuse arrays that do not hold together, before anything is indexed by them."""
    if data["format"].tobytes() != FORMAT.encode():
        raise ValueError("its format is another")
    ids, offsets, counts = data["ids"], data["offsets"], data["counts"]
    sound = (
        ids.dtype == np.int32
        and offsets.dtype == np.int64
        and counts.dtype == np.int64
        and ids.ndim == offsets.ndim == counts.ndim == 1
        and len(offsets) == len(counts) + 1
        and int(offsets[0]) == 0
        and int(offsets[-1]) == len(ids)
        and bool((np.diff(offsets.astype(np.int64)) >= 0).all())
        and bool((counts.astype(np.int64) > 0).all())
        and int(data["word_lengths"].astype(np.int64).sum()) == data["words"].size
        and (not len(ids) or (int(ids.min()) >= 0 and int(ids.max()) < data["word_lengths"].size))
    )
    if not sound:
        raise ValueError("its arrays do not fit together")
