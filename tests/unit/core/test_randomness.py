"""The global generators of PyTorch belong to the captioner, and follow the seed."""

from __future__ import annotations

import torch

from capfix_cli.core.randomness import seeded


def test_draws_depend_on_the_seed_alone_and_leave_no_trace():
    torch.manual_seed(5)
    untouched = torch.rand(3)
    torch.manual_seed(5)
    with seeded(1):
        first = torch.rand(3)
    assert torch.equal(torch.rand(3), untouched)
    with seeded(1):
        again = torch.rand(3)
    with seeded(2):
        other = torch.rand(3)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
