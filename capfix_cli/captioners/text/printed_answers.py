"""Captions in what a command printed: plain lines, JSON, JSON lines or CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from capfix_cli.captioners.text.text_captioner import TEXT_KEYS, TextAnswer, as_text
from capfix_cli.captions.caption_layouts import IDS, PREDICTED, SAID
from capfix_cli.captions.clip_names import pair_names
from capfix_cli.core.errors import CapfixError

CAPTIONS = (SAID, *PREDICTED, *(key for key in TEXT_KEYS if key != SAID))
SHOWN = 60  # characters of what was printed
HOW = (
    'Print one line a clip, or JSON such as {"caption": "..."}, on standard output, and all else on'
    " standard error."
)


def read_printed(text: str, paths: Sequence[str], who: str) -> list[TextAnswer]:
    """Find the captions of one call's clips in what was printed.

    Args:
        text: of standard output.
        paths: of the clips, as the command was given them.
        who: printed it, for errors.

    Raises:
        CapfixError: the captions cannot be told from it.
    """
    lines = [line.strip() for line in text.splitlines()]
    said = [line for line in lines if line]
    if not said:
        raise CapfixError(f"{who} printed nothing.", HOW)
    rows = _json_rows(text, said) or _table_rows(said)
    if rows is not None:
        return _of_rows(rows, paths, who)
    while lines and not lines[-1]:
        lines.pop()
    plain = lines if len(lines) == len(paths) else said
    if len(plain) != len(paths):
        clips = f"{len(paths)} clip{'s'[: len(paths) > 1]}"
        raise CapfixError(
            f"{who} printed {len(said)} lines for {clips}, the last {said[-1][:SHOWN]!r}.", HOW
        )
    return [TextAnswer(" ".join(line.split())) for line in plain]


def _json_rows(text: str, said: Sequence[str]) -> list[Any] | None:
    """Rows of JSON: the whole output, else the lines that end it; None where it is none."""
    if said[-1][0] not in "{[" and said[-1][-1] not in "}]":
        return None
    whole = _parsed(text.strip())
    if isinstance(whole, list):
        return whole
    if isinstance(whole, Mapping):
        return _unfolded(whole)
    rows: list[Any] = []
    for line in reversed(said):  # what a model prints while it loads comes before
        row = _parsed(line)
        if not isinstance(row, Mapping):
            if isinstance(row, list) and not rows:
                return row
            break
        rows.append(row)
    return rows[::-1] or None


def _unfolded(row: Mapping[str, Any]) -> list[Any]:
    """A row, or a map of clip -> caption as rows."""
    if any(key in row for key in CAPTIONS):
        return [row]
    if row and all(isinstance(value, str) for value in row.values()):
        return [{"file_name": key, "caption": value} for key, value in row.items()]
    for key in ("captions", "predictions", "results"):
        if isinstance(row.get(key), list):
            return list(row[key])
    return [row]


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _table_rows(said: Sequence[str]) -> list[Any] | None:
    """Rows of a table whose header names a caption and a clip; None where there is none."""
    for place, line in enumerate(said[:-1]):
        for mark in (",", "\t"):
            header = [cell.strip().lower() for cell in next(csv.reader([line], delimiter=mark))]
            if len(header) < 2 or not set(header) & set(CAPTIONS) or not set(header) & set(IDS):
                continue
            body = io.StringIO("\n".join(said[place + 1 :]))
            read = csv.reader(body, delimiter=mark, strict=False)
            return [dict(zip(header, cells, strict=False)) for cells in read if cells]
    return None


def _of_rows(rows: Sequence[Any], paths: Sequence[str], who: str) -> list[TextAnswer]:
    """Give each clip its row: by the name it gives, else by its place."""
    named = {}
    for row in rows:
        if isinstance(row, Mapping):
            key = next((str(row[key]) for key in IDS if row.get(key) not in (None, "")), None)
            if key is not None:
                named[key] = row
    names = [Path(path).name for path in paths]
    if len(named) >= len(paths):
        pairs = {
            **pair_names(named, names).by_clip,
            **{name: path for name, path in zip(names, paths, strict=True) if path in named},
        }
        if len(pairs) == len(set(names)) == len(names):
            return [_answer(named[pairs[name]], name, who) for name in names]
    if len(rows) != len(paths):
        clips = f"{len(paths)} clip{'s'[: len(paths) > 1]}"
        raise CapfixError(f"{who} printed {len(rows)} captions for {clips}.", HOW)
    return [_answer(row, name, who) for row, name in zip(rows, names, strict=True)]


def _answer(row: Any, clip: str, who: str) -> TextAnswer:
    if isinstance(row, Mapping):
        row = next((row[key] for key in CAPTIONS if key in row), row)
    return TextAnswer(as_text(row, clip, who))
