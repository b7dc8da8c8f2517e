"""Captions as capfix writes them, CSV or JSONL, with what was predicted for each clip."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from capfix_cli.schemas.clip_records import ClipCaption

NAMES = "surrogateescape"  # a file name may hold bytes that are not UTF-8: they stay as they are
JSON_LINES = (".jsonl", ".ndjson")


def write_captions(
    path: Path, captions: Sequence[ClipCaption], references: Mapping[str, Sequence[str]]
) -> None:
    """Write predictions beside their references as CSV, in the field's layout.

    Args:
        path: of the file; what is there is replaced.
        captions: one a clip, in the order wanted.
        references: file name -> texts, for the columns ``caption_1``, ``caption_2``, ...; clips
            without have empty ones.

    Raises:
        OSError: it cannot be written.
    """
    width = max((len(texts) for texts in references.values()), default=0)
    with path.open("w", encoding="utf-8", errors=NAMES, newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ["file_name", "caption_predicted", *(f"caption_{i + 1}" for i in range(width))]
        )
        for caption in captions:
            texts = list(references.get(caption.file_name, ()))
            writer.writerow([caption.file_name, caption.text, *texts, *[""] * (width - len(texts))])


def printable(text: str) -> str:
    r"""Give a text that any output takes: bytes of a file name that are no text as escapes.

    >>> printable("dog-\udcff.wav")
    'dog-\\udcff.wav'
    """
    return text.encode("utf-8", "backslashreplace").decode()


@dataclass(frozen=True)
class Predicted:
    """What was predicted for a clip.

    Attributes:
        file_name: as in :class:`ClipCaption`.
        captions: one or several, the best first.
        logprob: of the best, in nats; None where it is no finite number.
        ended: whether the best came to its end token.
    """

    file_name: str
    captions: tuple[str, ...]
    logprob: float | None = None
    ended: bool = True


def predicted(caption: ClipCaption) -> Predicted:
    """Take from a decoded caption what a captions file holds.

    Args:
        caption: with further ones of its clip in ``others``.
    """
    texts = (caption.text, *(other.text for other in caption.others))
    logprob = caption.logprob if math.isfinite(caption.logprob) else None
    return Predicted(caption.file_name, texts, logprob, caption.ended)


def to_row(row: Predicted) -> dict[str, Any]:
    """Give the object of a JSONL line.

    >>> to_row(Predicted("a.wav", ("a dog barks", "a dog"), -2.5))["captions"]
    ['a dog barks', 'a dog']
    """
    return {
        "file_name": row.file_name,
        "caption_predicted": row.captions[0],
        "captions": list(row.captions),
        "logprob": row.logprob,
        "ended": row.ended,
    }


def from_row(row: Mapping[str, Any]) -> Predicted:
    """Read what :func:`to_row` gave.

    Raises:
        KeyError, TypeError: something of it is not there.
    """
    texts = tuple(str(text) for text in row["captions"])
    return Predicted(str(row["file_name"]), texts, row["logprob"], bool(row["ended"]))


def write_predicted(
    file: TextIO, rows: Iterable[Predicted], captions: int, *, json_lines: bool
) -> None:
    """Write rows as they come, holding one at a time.

    Args:
        file: opened with ``newline=""`` and ``errors=NAMES``.
        rows: in the order wanted.
        captions: most that a clip has; the CSV columns of the further ones are
            ``caption_predicted_2``, ``caption_predicted_3``, ... and stay empty where a clip has
            fewer.
        json_lines: an object a line instead of CSV.
    """
    if json_lines:
        for row in rows:
            # Bytes of a name that are no text can only stand in JSON as escapes.
            text = row.file_name.isascii() or row.file_name.isprintable()
            file.write(json.dumps(to_row(row), ensure_ascii=not text) + "\n")
        return
    further = [f"caption_predicted_{number}" for number in range(2, captions + 1)]
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["file_name", "caption_predicted", *further])
    for row in rows:
        blank = [""] * (captions - len(row.captions))
        writer.writerow([row.file_name, *row.captions, *blank])
