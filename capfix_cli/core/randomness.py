"""Random numbers that depend on the seed alone, whatever ran before and whatever runs after."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence


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
