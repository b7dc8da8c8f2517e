"""Random numbers that depend on the seed alone, whatever ran before and whatever runs after."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.random import Generator

# Every stream that capfix draws from by name, and the number that keeps it apart from the others.
# Published figures, worlds and trainings were drawn by these: a number never changes, and a new
# stream takes one that is free. Of the first kind the number stands after what a draw is about
# (of None there is none), of the second before it.
_AFTER: dict[str, int | None] = {
    "measures.bootstrap": None,
    "measures.halves": None,
    "measures.top-counts": None,
    "compression.order": 1,
    "pairwise-bleu.order": 2,
    "vendi.probes": 3,
    "vendi.captions": 4,
    "vendi.tried": 5,
    "reference-listening.pairing": 3,
    "reference-listening.pool": 5,
    "reference-listening.bootstrap": 7,
    "captions.judged-reference": 11,
    "paired.bootstrap": 13,
    "paired.halves": 15,
    "references.one-a-clip": 17,
    "bleu.bootstrap": 19,
    "measure.sample": 23,
    "imbalance.draws": 23,
    "shifted-pairs.distances": 29,
    "memorisation.pairs": 31,
}
_BEFORE: dict[str, int] = {
    "world.pairs": 0,
    "world.scenes": 1,
    "world.sounds": 2,
    "training.caption": 41,
    "training.order": 43,
    "augment.alteration": 47,
    "augment.synonyms": 53,
    "training.variant": 59,
    "training.mask": 61,
    "training.mix": 67,
    "training.step": 71,
}


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed PyTorch's global generators, and put them back as they were at the end.

    capfix draws from generators of its own. The global ones are the captioner's: a network left in
    train mode, or with layers that no file filled, would differ from run to run.

    Args:
        seed: of every device's generator.
    """
    import torch

    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def drawn_order(names: Sequence[str], seed: int, purpose: str = "") -> list[int]:
    """Give places of names in an order drawn by the seed.

    Of two names the same one comes first whatever other names there are, and in whatever order.

    Args:
        names: such as of clips; bytes that are no text may stand in them as surrogates.
        seed: of the order.
        purpose: with another one the order is another.

    >>> drawn_order(["a", "b", "c"], 0), drawn_order(["c", "a"], 0)
    ([2, 0, 1], [0, 1])
    """
    before = f"{seed}/{purpose}/" if purpose else f"{seed}/"

    def rank(place: int) -> bytes:
        key = f"{before}{names[place]}".encode("utf-8", "surrogateescape")
        return hashlib.blake2b(key, digest_size=8).digest()

    return sorted(range(len(names)), key=rank)


def stream(seed: int, name: str, *about: int) -> Generator:
    """Open a named stream of random numbers, the same for the same seed whatever else is drawn.

    Args:
        seed: of the command.
        name: of the stream; every place that draws has its own.
        about: what the draws are about, such as how many clips there are, an epoch or a clip.

    Returns:
        A generator at the start of the stream.

    Raises:
        KeyError: no stream has this name.
    """
    import numpy as np  # start-up does without it

    return np.random.default_rng(_key(seed, name, about))


def torch_seed(seed: int, name: str, *about: int) -> int:
    """Give a seed for PyTorch's global generators out of a named stream.

    Args:
        seed: of the command.
        name: of the stream.
        about: as of :func:`stream`.

    Returns:
        A number of 63 bits.

    Raises:
        KeyError: no stream has this name.
    """
    import numpy as np  # start-up does without it

    drawn = np.random.SeedSequence(_key(seed, name, about)).generate_state(1, np.uint64)
    return int(drawn[0]) >> 1


def _key(seed: int, name: str, about: Sequence[int]) -> list[int]:
    if name in _BEFORE:
        return [seed, _BEFORE[name], *about]
    number = _AFTER[name]
    return [seed, *about] if number is None else [seed, *about, number]
