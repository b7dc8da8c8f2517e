"""Known ways to draw captions, for what is said of intervals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from capfix_cli.measures.caption_tokens import Tokens
from capfix_cli.measures.corpus import Counted, same_captions

WORDS = [f"{number:05d}" for number in range(2000)]  # sorted, as a counted corpus has them
Drawer = Callable[[np.random.Generator, int], Tokens]


def counted_of(tokens: Tokens) -> Counted:
    """Count captions whose vocabulary is sorted already."""
    heads, kinds = same_captions(tokens, tokens.vocabulary)
    return Counted(tokens.take(heads), np.bincount(kinds, minlength=len(heads)))


def zipf(generator: np.random.Generator, size: int) -> Tokens:
    """Draw every word by itself: 6 to 14 words, 2,000 of them, by Zipf's law."""
    shares = 1 / np.arange(1, len(WORDS) + 1)
    lengths = generator.integers(6, 15, size)
    ids = generator.choice(len(WORDS), int(lengths.sum()), p=shares / shares.sum())
    return Tokens(ids.astype(np.int32), np.concatenate(([0], np.cumsum(lengths))), WORDS)


def chain(generator: np.random.Generator, size: int) -> Tokens:
    """Draw each word by the one before it: 5 to 12 words, 400 of them."""
    likes, first = _chain()
    lengths = generator.integers(5, 13, size)
    words = [first[(generator.random(size) ** 2 * len(first)).astype(int)]]
    for _ in range(12):
        words.append(likes[words[-1], (generator.random(size) ** 3 * 40).astype(int)])
    inside = np.arange(13)[None] < lengths[:, None]
    ids = np.stack(words, 1)[inside].astype(np.int32)
    return Tokens(ids, np.concatenate(([0], np.cumsum(lengths))), WORDS[:400])


def pool(generator: np.random.Generator, size: int) -> Tokens:
    """Draw from 400 sentences, by Zipf's law: a captioner of a closed world."""
    shares = 1 / np.arange(1, 401)
    sentences = zipf(np.random.default_rng(5), 400)
    return sentences.take(generator.choice(400, size, p=shares / shares.sum()))


def collapsed(generator: np.random.Generator, size: int, share: float = 0.9) -> Tokens:
    """Say one sentence for nine clips in ten, and draw the others word by word."""
    both = chain(generator, size + 1)
    favourite = chain(np.random.default_rng(77), 1)
    ids = np.concatenate((both.ids[: both.offsets[size]], favourite.ids))
    ends = both.offsets[: size + 1]
    every = Tokens(ids, np.append(ends, ends[-1] + len(favourite.ids)), both.vocabulary)
    return every.take(np.where(generator.random(size) < share, size, np.arange(size)))


def _chain() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(9)
    shares = 1 / np.arange(1, 401) ** 0.9
    likes = np.array([generator.choice(400, 40, p=shares / shares.sum()) for _ in range(400)])
    return likes, generator.choice(400, 60)


DRAWERS: dict[str, Drawer] = {"zipf": zipf, "chain": chain, "pool": pool, "collapsed": collapsed}
