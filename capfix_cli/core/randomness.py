"""Random numbers that depend on the seed alone, whatever ran before and whatever runs after."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


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
