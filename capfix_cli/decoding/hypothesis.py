"""A caption as a search leaves it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Hypothesis:
    """One hypothesis.

    Attributes:
        tokens: without start and end tokens.
        logprob: ln of what the captioner gives it, end token included where it came.
        ended: whether the end token came.
        rank: by what hypotheses of a clip are put in order, the highest first.
    """

    tokens: tuple[int, ...]
    logprob: float
    ended: bool
    rank: float

    def closed(self, eos_id: int) -> tuple[int, ...]:
        """Give the tokens with the end token, where it came."""
        return (*self.tokens, eos_id) if self.ended else self.tokens
