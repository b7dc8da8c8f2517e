"""Rows of any file that captions come in: CSV, TSV, JSON lines or JSON, plain or gzip.

Nothing is refused that can be read, in whatever encoding, and what had to be mended on the way is
told in a note.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from capfix_cli.core.errors import CapfixError

Row = dict[str, Any]
GZIP = b"\x1f\x8b"
WIDE = (  # byte order marks of encodings with several bytes a character
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SEPARATORS = ",\t;"
JSON_SUFFIXES = {".json", ".jsonl", ".ndjson"}


def read_rows(path: str | Path) -> tuple[list[Row], list[str]]:
    """Read a file's rows and what had to be mended.

    Returns:
        rows, each from column to value (text in CSV), in the file's order; notes.

    Raises:
        CapfixError: unreadable, empty, or not what it looks like.
    """
    path = Path(path)
    notes: list[str] = []
    return rows_of_text(path, decode_text(path, _bytes(path), notes), notes)


def rows_of_text(path: str | Path, text: str, notes: list[str]) -> tuple[list[Row], list[str]]:
    """Read the rows of a text that was read already, as :func:`read_rows` does.

    Args:
        path: of the file, for messages and by its suffix.
        text: what it holds.
        notes: what had to be mended so far; more are added.

    Raises:
        CapfixError: empty, or not what it looks like.
    """
    path = Path(path)
    if not text.strip():
        raise CapfixError(f"{path} is empty.", "Give a CSV or JSONL file with a caption a row.")
    first = text.lstrip()[0]
    if first == "[":
        rows = _json_array(path, text)
    elif first == "{":
        rows = _json_lines(path, text)
    else:
        rows = _table(path, text, notes)
    if not rows and JSON_SUFFIXES & set(path.suffixes):
        raise CapfixError(f"{path}, line 1, is not JSON: it opens no object.", "One object a line.")
    if not rows:
        raise CapfixError(f"{path} has a header but no rows.", "It needs a row for each clip.")
    return rows, notes


def _bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise CapfixError(
            f"There is no captions file {path}.", "Give a CSV or JSONL file."
        ) from error
    except OSError as error:
        raise CapfixError(
            f"{path} cannot be read: {error.strerror}.", "Give a CSV or JSONL file."
        ) from error
    if not data.startswith(GZIP):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise CapfixError(f"{path} is a damaged gzip file: {error}.", "Pack it anew.") from error


def decode_text(path: str | Path, data: bytes, notes: list[str]) -> str:
    """Decode a file's bytes in whatever encoding they are; what had to be mended goes to notes.

    Raises:
        CapfixError: marked as an encoding that it is not in.
    """
    for mark, encoding in WIDE:
        if data.startswith(mark):
            try:
                return data.decode(encoding)
            except UnicodeDecodeError as error:
                raise CapfixError(
                    f"{path} is marked as {encoding.upper()} and is not.", "Save it as UTF-8."
                ) from error
    data = data.removeprefix(codecs.BOM_UTF8)
    nuls = data.count(0)
    if nuls > len(data) // 4:  # every other byte of Latin text in UTF-16
        try:
            text = data.decode("utf-16-le" if data[1:2] == b"\0" else "utf-16-be")
        except UnicodeDecodeError:
            text = ""
        if text.isprintable() or "," in text:
            notes.append("read as UTF-16, which it does not say it is")
            return text
    if nuls:
        data = data.replace(b"\0", b"")
        notes.append(f"{nuls} NUL bytes left out")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    lines, mixed = [], 0
    for line in data.splitlines(keepends=True):
        try:
            lines.append(line.decode("utf-8"))
        except UnicodeDecodeError:
            mixed += 1
            lines.append(line.decode("cp1252", errors="replace"))
    notes.append(f"{mixed} lines are not UTF-8 and were read as Windows-1252")
    return "".join(lines)


def _table(path: Path, text: str, notes: list[str]) -> list[Row]:
    header, _, _ = text.lstrip().partition("\n")
    separator = max(SEPARATORS, key=header.count)  # the comma where there is none
    rows: list[Row] = []
    ragged = 0
    with _long_fields():
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        try:
            for names in reader:
                if any(name.strip() for name in names):
                    break
            columns = [name.strip() for name in names]
            for values in reader:
                if not any(values):
                    continue
                ragged += len(values) > len(columns)
                rows.append(dict(zip(columns, values, strict=False)))
        except csv.Error as error:
            raise CapfixError(
                f"{path} is not CSV: {error}.", "Save it as comma-separated."
            ) from error
    if ragged:
        notes.append(
            f"{ragged} rows have more fields than the header, and what is too many was left out:"
            " a caption with a comma needs quotes"
        )
    return rows


@contextmanager
def _long_fields() -> Iterator[None]:
    """Let the csv module read fields of any length, and set it back."""
    limit = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _json_lines(path: Path, text: str) -> list[Row]:
    rows: list[Row] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            if number == 1:
                return [_object(path, text, "it")]  # one object over several lines
            reason = getattr(error, "msg", "nested too deeply")
            raise CapfixError(
                f"{path}, line {number}, is not JSON: {reason}.", "One object a line."
            ) from error
        if not isinstance(row, dict):
            raise CapfixError(f"{path}, line {number}, is not an object.", "One object a line.")
        rows.append(row)
    return rows


def _object(path: Path, text: str, what: str) -> Row:
    try:
        row = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        reason = getattr(error, "msg", "nested too deeply")
        raise CapfixError(
            f"{path}, line 1, is not JSON: {reason}.", "One object a line."
        ) from error
    if not isinstance(row, dict):
        raise CapfixError(f"{path}: {what} is not an object.", "One object a line.")
    return row


def _json_array(path: Path, text: str) -> list[Row]:
    try:
        rows = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        reason = getattr(error, "msg", "nested too deeply")
        raise CapfixError(f"{path} is not JSON: {reason}.", "A list of objects.") from error
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise CapfixError(f"{path}: item {number} is not an object.", "A list of objects.")
    return list(rows)
