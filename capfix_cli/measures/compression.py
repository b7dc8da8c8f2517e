"""How much gzip makes of the captions: repetition of any kind and length."""

from __future__ import annotations

import gzip

import numpy as np

from capfix_cli.core.randomness import stream
from capfix_cli.measures.caption_tokens import Ints
from capfix_cli.measures.corpus import Counted
from capfix_cli.measures.half_samples import halves_interval

LEVEL = 9
MOST = 50_000  # captions; of more, so many are drawn: gzip looks back over some 500 only


def compression_ratio(text: str) -> float:
    """Bytes of a text over bytes of its gzip (Shaib et al., arXiv 2403.00553); 1 for no text.

    >>> compression_ratio("a dog barks " * 100) > 20
    True
    """
    data = text.encode("utf-8", "surrogatepass")
    return len(data) / len(gzip.compress(data, LEVEL, mtime=0)) if data else 1.0


def corpus_compression(counted: Counted, seed: int) -> tuple[float, float, int]:
    """Give the compression ratio of all captions, and half the 95 % interval of its logarithm.

    gzip looks back over 32 kB only, so order matters: the captions stand in an order drawn from
    the seed, which depends on nothing but the captions; and so the ratio no longer changes with N
    where N is large, and of more than 50,000 captions the first so many of that order are taken.

    Returns:
        the ratio, half the interval, and the captions taken.
    """
    said = stream(seed, "compression.order").permutation(counted.said())[:MOST]

    def ratio(places: Ints) -> float:
        return compression_ratio(counted.tokens.take(said[places]).text())

    return ratio(np.arange(len(said))), halves_interval(ratio, len(said), seed), len(said)
