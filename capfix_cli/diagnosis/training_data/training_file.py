"""The training file as clips with all their captions, in the file's order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from capfix_cli.captions.caption_layouts import EVERY, Columns, read_captions


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


def read_training(path: str | Path, columns: Columns = EVERY, seed: int = 0) -> TrainingSet:
    """Read a training file in any layout that ``capfix measure`` reads.

    What people said is what was trained on: a column of predictions beside it is left out, and a
    ``columns.caption`` names captions to train on.

    Raises:
        CapfixError: unreadable, or no caption in it.
    """
    if columns.caption is not None:
        columns = Columns(None, (*columns.references, columns.caption), columns.id)
    table = read_captions(path, columns, seed)
    beside = any(table.references) and not table.people  # predictions, references beside them
    names: list[str] = []
    captions: list[tuple[str, ...]] = []
    for caption, references in zip(table.captions, table.references, strict=True):
        texts = tuple(references) if beside else (caption.text, *references)
        texts = tuple(text for text in texts if text.strip())
        if texts:
            names.append(caption.file_name)
            captions.append(texts)
    notes = [note for note in table.notes if "is judged" not in note]
    if beside:
        notes.append("a column of predictions was left out: references are what was trained on")
    return TrainingSet(str(path), tuple(names), tuple(captions), tuple(notes))


def training_set(captions: Sequence[tuple[str, Sequence[str]]], path: str = "") -> TrainingSet:
    """Make one of clips that are in memory."""
    return TrainingSet(
        path, tuple(name for name, _ in captions), tuple(tuple(texts) for _, texts in captions)
    )
