"""The training file as clips with all their captions, in the file's order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from capfix_cli.captions.caption_layouts import EVERY, Columns
from capfix_cli.captions.reference_file import read_references


@dataclass(frozen=True)
class TrainingSet:
    """Clips and captions that a captioner was trained on.

    Attributes:
        path: of the file.
        names: of the clips, in the file's order.
        captions: for each clip, at least one, as written.
        notes: how the file was read.
    """

    path: str
    names: tuple[str, ...]
    captions: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Every (clip, caption), in the file's order."""
        together = zip(self.names, self.captions, strict=True)
        return [(name, text) for name, texts in together for text in texts]

    @property
    def texts(self) -> list[str]:
        """Every caption, clip after clip."""
        return [text for texts in self.captions for text in texts]


def read_training(path: str | Path, columns: Columns = EVERY) -> TrainingSet:
    """Read a training file in any layout that ``capfix measure`` reads.

    What people said is what was trained on: a column of predictions beside it is left out, and a
    ``columns.caption`` names captions to train on.

    Raises:
        CapfixError: unreadable, or no caption in it.
    """
    file = read_references(path, columns, named=False)
    return TrainingSet(
        path=file.path,
        names=tuple(file),
        captions=tuple(tuple(texts) for texts in file.values()),
        notes=file.notes,
    )


def training_set(captions: Sequence[tuple[str, Sequence[str]]], path: str = "") -> TrainingSet:
    """Make one of clips that are in memory."""
    return TrainingSet(
        path, tuple(name for name, _ in captions), tuple(tuple(texts) for _, texts in captions)
    )
