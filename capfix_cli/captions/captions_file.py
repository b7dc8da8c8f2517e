"""Captions on disk, CSV or JSONL, with a prediction and references a clip."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from capfix_cli.core.errors import CapfixError
from capfix_cli.schemas.clip_records import ClipCaption

References = dict[str, list[str]]  # file name -> its references
NAMES = "surrogateescape"  # a file name may hold bytes that are not UTF-8: they stay as they are
JSON_LINES = (".jsonl", ".ndjson")
_REFERENCE = re.compile(r"caption_(\d+)")


def read_references(path: str | Path) -> References:
    """Read each clip's references; rows of the same file are joined, empty captions dropped.

    Raises:
        CapfixError: unreadable, or without ``file_name`` and ``caption_1``.
    """
    rows = _rows(Path(path))
    columns = list(rows[0]) if rows else []
    numbered = sorted(
        (name for name in columns if _REFERENCE.fullmatch(name)), key=lambda n: int(n[8:])
    )
    if "file_name" not in columns or not numbered:
        shown = ", ".join(columns[:8]) or "none"
        raise CapfixError(
            f"{path} needs the columns file_name and caption_1 (to caption_5); it has {shown}.",
            "One row a clip: file_name,caption_1,caption_2,…",
        )
    found: References = {}
    for row in rows:
        texts = [str(row[name]).strip() for name in numbered if row.get(name)]
        name = str(row["file_name"]).strip()
        if name and any(texts):
            found.setdefault(name, []).extend(text for text in texts if text)
    if not found:
        raise CapfixError(f"{path} has no captions.", "Each row needs a file_name and a caption.")
    return found


def match_references(
    references: Mapping[str, Sequence[str]], names: Iterable[str], path: str | Path
) -> dict[str, list[str]]:
    """Find each clip's references by its path in the folder, else by its bare file name.

    Raises:
        CapfixError: none of the clips has any.
    """
    by_base: dict[str, list[str]] = {}
    for name, texts in references.items():
        by_base.setdefault(Path(name).name, []).extend(texts)
    matched: dict[str, list[str]] = {}
    names = list(names)
    for name in names:
        found = references.get(name) or by_base.get(Path(name).name)
        if found:
            matched[name] = list(found)
    if not matched:
        raise CapfixError(
            f"None of the {len(names)} clips has a reference in {path}:"
            f" it names {next(iter(references))}, the folder has {names[0] if names else 'none'}.",
            "file_name must be the clip's path in the audio folder, or its bare name.",
        )
    return matched


def write_captions(
    path: Path, captions: Sequence[ClipCaption], references: Mapping[str, Sequence[str]]
) -> None:
    """Write predictions beside their references, in the field's layout."""
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
    """Take from a decoded caption what a captions file holds."""
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


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise CapfixError(
            f"There is no captions file {path}.", "Give a CSV or JSONL file."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise CapfixError(
            f"{path} cannot be read: {reason}.", "Give a CSV or JSONL file in UTF-8."
        ) from error
    if path.suffix.lower() in JSON_LINES:
        return _json_rows(path, text)
    try:
        return list(csv.DictReader(text.splitlines(keepends=True)))
    except csv.Error as error:
        raise CapfixError(f"{path} is not CSV: {error}.", "Save it as comma-separated.") from error


def _json_rows(path: Path, text: str) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise CapfixError(
                f"{path}, line {number}, is not JSON: {error.msg}.", "One object a line."
            ) from error
        if not isinstance(row, dict):
            raise CapfixError(f"{path}, line {number}, is not an object.", "One object a line.")
        rows.append(row)
    return rows
