"""Whether what capfix runs is what the user runs: their captions beside its own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Parted:
    """A clip of which the user's script says something else.

    Attributes:
        file_name: of the clip.
        yours: what the user's script says.
        capfix: what capfix reads from the model, greedily.
        word: the first word that differs, counted from 1.
    """

    file_name: str
    yours: str
    capfix: str
    word: int


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Captions of the same clips compared, one by one.

    Attributes:
        source: what the user's captions come from: a file, a function, the network's own method.
        compared: clips that both say something of.
        equal: of these, with the same words.
        parted: some of the others.
    """

    source: str
    compared: int
    equal: int
    parted: tuple[Parted, ...] = ()

    @property
    def sentence(self) -> str:
        """Say it in one sentence."""
        if self.equal == self.compared:
            return f"These are your captions: {self.equal} of {self.compared} ({self.source})"
        first = self.parted[0]
        return (
            f"These are your captions in {self.equal} of {self.compared} ({self.source});"
            f" of {first.file_name} yours says {first.yours!r}, and capfix reads"
            f" {first.capfix!r}: they part at word {first.word}"
        )
