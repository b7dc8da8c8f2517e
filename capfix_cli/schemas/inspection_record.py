"""What is inside a checkpoint, ``capfix.inspection/1``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

INSPECTION_SCHEMA: Literal["capfix.inspection/1"] = "capfix.inspection/1"


@dataclass(frozen=True)
class Fact:
    """A statement read from a file: a value, how sure it is, and what it rests on.

    ``None`` as the value says that it cannot be decided; the evidence then says why.
    """

    value: str | int | float | bool | None
    confidence: float
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True)
class TensorSummary:
    """A tensor's name, shape, kind and size.

    Attributes:
        name: dotted place in the model.
        shape: sizes.
        dtype: as PyTorch names it.
        elements: how many numbers it has.
        bytes: their size; None for a kind of number whose size is not known.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    elements: int = 0
    bytes: int | None = None


@dataclass(frozen=True)
class VocabularySummary:
    """A vocabulary found in a checkpoint: its size, where it is, and its special tokens' ids."""

    size: int
    source: str
    special: dict[str, int]


@dataclass(frozen=True)
class FixDone:
    """Whether a checkpoint has a fix that an older one of the same model lacked.

    Attributes:
        fix: id in the catalogue.
        done: None where weights and settings cannot tell.
        evidence: what was compared, or why it cannot be told.
    """

    fix: str
    done: bool | None
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True)
class Inspection:
    """What is inside a checkpoint, in the layout of ``inspect --json``.

    Attributes:
        path: as given.
        format: kind of file.
        sha256: of its bytes, in hex.
        tensors: of the model, wrappers' prefixes dropped.
        elements: numbers in all of them, those that tensors share counted once.
        bytes: the size of those numbers.
        against: the older checkpoint that it was compared with, if any.
        fixes: which fixes of the network were done since.
        config: settings found beside the weights.
        vocabulary: found beside the weights.
        imports: globals that the file names; none of them was imported.
        refused: why capfix will not load it; None where nothing speaks against it.
        facts: fact id -> statement.
    """

    path: str
    format: str
    sha256: str
    tensors: tuple[TensorSummary, ...]
    config: dict[str, Any] | None
    vocabulary: VocabularySummary | None
    imports: tuple[str, ...]
    refused: str | None
    facts: dict[str, Fact]
    elements: int = 0
    bytes: int = 0
    capfix_version: str = ""
    schema: Literal["capfix.inspection/1"] = INSPECTION_SCHEMA
    against: str | None = None
    fixes: tuple[FixDone, ...] = ()
