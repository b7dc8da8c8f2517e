"""Captions on disk, CSV or JSONL, with a prediction and references a clip."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from capfix_cli.errors import CapfixError
from capfix_cli.records import ClipCaption

References = dict[str, list[str]]  # file name -> its references
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
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ["file_name", "caption_predicted", *(f"caption_{i + 1}" for i in range(width))]
        )
        for caption in captions:
            texts = list(references.get(caption.file_name, ()))
            writer.writerow([caption.file_name, caption.text, *texts, *[""] * (width - len(texts))])


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
    if path.suffix.lower() in {".jsonl", ".ndjson"}:
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
