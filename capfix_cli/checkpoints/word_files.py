"""Word lists and word maps in the files that the field keeps them in."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from capfix_cli.checkpoints.formats.file_format import (
    is_compressed_pickle,
    is_pickle,
    read_content,
)
from capfix_cli.checkpoints.sentence_pieces import read_pieces
from capfix_cli.checkpoints.word_maps import find_any, find_named, words_of
from capfix_cli.core.errors import CapfixError

LARGEST = 64 * 2**20  # bytes of a vocabulary file; word maps stay below a tenth of it
# What tokenizers' folders call their vocabularies, the fullest first.
IN_FOLDERS = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model")
LONGEST_ID = 9  # digits
ID_COLUMNS = {"id", "ids", "idx", "index", "token_id", "word_id", "number"}


def read_words(path: Path) -> dict[str, int] | None:
    """Read word -> id from a file of any kind that the field uses; nothing in it is executed.

    Raises:
        CapfixError: unreadable, refused, or lines of which words cannot be told.
    """
    if not path.exists():
        raise CapfixError(f"There is no vocabulary file {path}.", "Check the path.")
    path = _in_folder(path) if path.is_dir() else path
    try:
        with path.open("rb") as file:
            pickled = is_pickle(file)
            head = file.read(16)
        pickled = pickled or is_compressed_pickle(path)
        if pickled or head[:2] == b"PK" or head[8:9] == b"{":
            content = read_content(path)
            if content.refused:
                raise CapfixError(
                    f"{path} was refused: {content.refused}.", "Save the words as JSON."
                )
            return _words_in(content.value)
        pieces = read_pieces(path)
        if pieces is not None:
            return pieces
        if path.stat().st_size > LARGEST:
            raise CapfixError(f"{path} is too large for a vocabulary.", "Give the word list alone.")
        text = path.read_text("utf-8-sig")  # some editors put a byte order mark first
    except UnicodeDecodeError as error:
        raise CapfixError(f"{path} is not UTF-8 text.", "Save it as UTF-8 or JSON.") from error
    except OSError as error:
        raise CapfixError(f"{path} cannot be read: {error.strerror}.", "Check the file.") from error
    if path.suffix == ".json" or text.lstrip()[:1] in {"{", "["}:
        return _from_json(text, path)
    return _from_lines(text, path)


def _in_folder(folder: Path) -> Path:
    """Find the vocabulary of a tokenizer's folder.

    Raises:
        CapfixError: none of the usual files is there.
    """
    found = next((folder / name for name in IN_FOLDERS if (folder / name).exists()), None)
    if found is None:
        raise CapfixError(
            f"{folder} holds none of {', '.join(IN_FOLDERS)}.", "Give the file itself."
        )
    return found


def _words_in(value: Any) -> dict[str, int] | None:
    """Read the words that a file holds: alone, under a usual name, or as its only map."""
    named = find_named(value)
    return words_of(value) or (None if named is None else named[1]) or find_any(value)


def _from_lines(text: str, path: Path) -> dict[str, int]:
    """Read a table of words and ids, or a word a line.

    Raises:
        CapfixError: lines of several words, a word twice.
    """
    lines = [line.strip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    table = _from_table(lines, path)
    if table is not None:
        return table
    if lines and all(len(line.split()) > 1 for line in lines):
        raise CapfixError(
            f"{path} has more than a word a line: {lines[0]!r:.40}.",
            "Give each word one line, in id order, or `word,id` lines, or a JSON word map.",
        )
    if len(set(lines)) < len(lines):
        raise CapfixError(f"{path} names a word twice.", "Give each word one line, in id order.")
    return {word: number for number, word in enumerate(lines)}


def _from_table(lines: list[str], path: Path) -> dict[str, int] | None:
    """Read lines of a word and its id, in either order, after a comma or a tab; None for others.

    A line of names may stand above. Where both columns are whole numbers, only such names tell
    which is which. Counts beside words are no ids: they leave gaps, which is told later.

    Raises:
        CapfixError: two columns of numbers without names, or a word twice.
    """
    delimiter = "\t" if lines and "\t" in lines[0] else ","
    try:
        rows = list(csv.reader(filter(None, lines), delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    if not rows or any(len(row) != 2 for row in rows):
        return None
    names = [cell.strip().lower() for cell in rows[0]]
    told = [column for column in (0, 1) if names[column] in ID_COLUMNS]
    if told or not any(map(_is_id, rows[0])):
        rows = rows[1:]
    numeric = [column for column in (0, 1) if rows and all(_is_id(row[column]) for row in rows)]
    by_name = [column for column in numeric if column in told]
    if not numeric:
        return None
    if len(by_name or numeric) > 1:
        raise CapfixError(
            f"Both columns of {path} are numbers.", "Name them on the first line: word,id."
        )
    column = (by_name or numeric)[0]
    ids: dict[str, int] = {}
    for row in rows:
        word = row[1 - column].strip()
        if word in ids:
            raise CapfixError(f"{path} names {word!r:.40} twice.", "Give each word one line.")
        ids[word] = int(row[column])
    return ids


def _is_id(cell: str) -> bool:
    cell = cell.strip()
    return cell.isascii() and cell.isdigit() and len(cell) <= LONGEST_ID


def _from_json(text: str, path: Path) -> dict[str, int] | None:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CapfixError(f"{path} is not JSON: {error}.", "Mend or export it again.") from error
    if isinstance(data, dict):
        model = data.get("model")
        if isinstance(model, dict) and "vocab" in model:  # the layout of the tokenizers library
            ids = words_of(model["vocab"]) or _scored(model["vocab"])
            added = data.get("added_tokens")
            for token in added if isinstance(added, list) else ():
                if isinstance(token, dict) and isinstance(token.get("id"), int):
                    ids = {**(ids or {}), str(token.get("content")): token["id"]}
            return ids
        if data and all(key.isdigit() for key in data):
            data = {int(key): value for key, value in data.items()}
    return _words_in(data)


def _scored(rows: Any) -> dict[str, int] | None:
    """[[piece, score], ...] of unigram models -> piece -> id."""
    if isinstance(rows, list) and all(isinstance(row, list) and len(row) == 2 for row in rows):
        return {str(row[0]): number for number, row in enumerate(rows)}
    return None
