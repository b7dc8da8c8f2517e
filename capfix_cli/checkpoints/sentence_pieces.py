"""The pieces of a SentencePiece model: a protocol buffer, read field by field."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

LARGEST = 64 * 2**20  # bytes; models of 256,000 pieces take 4.5 MB
FIRST = b"\x0a"  # field 1, of variable length: a piece
_PIECE, _TEXT, _SCORE, _KIND = 1, 1, 2, 3  # numbers of fields in sentencepiece_model.proto
_KINDS = range(1, 7)  # normal, unknown, control, user defined, unused, byte
Field = tuple[int, int, bytes | int]


def read_pieces(path: Path) -> dict[str, int] | None:
    """Read piece -> id.

    Returns:
        None where the file is no SentencePiece model.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        if file.read(1) != FIRST or path.stat().st_size > LARGEST:
            return None
        data = FIRST + file.read()
    pieces: list[str] = []
    try:
        for number, wire, value in _fields(data):
            if number == _PIECE:
                if wire != 2 or not isinstance(value, bytes):
                    return None
                pieces.append(_piece(value))
    except ValueError:
        return None
    if not pieces or len(set(pieces)) < len(pieces):
        return None
    return {piece: number for number, piece in enumerate(pieces)}


def _piece(data: bytes) -> str:
    """Read one piece: its text, a score and, unless it is a normal one, its kind.

    Raises:
        ValueError: it is none.
    """
    text: str | None = None
    for number, wire, value in _fields(data):
        if number == _TEXT and wire == 2 and isinstance(value, bytes):
            text = value.decode("utf-8")
        elif number == _KIND and value not in _KINDS:
            raise ValueError("no kind of piece")
        elif (number, wire) not in {(_SCORE, 5), (_KIND, 0)}:
            raise ValueError("no field of a piece")
    if not text:
        raise ValueError("a piece without text")
    return text


def _fields(data: bytes) -> Iterator[Field]:
    """Part a message into (number, wire type, value).

    Raises:
        ValueError: it ends within a field, or has a wire type that protocol buffers lack.
    """
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, place = _varint(data, place)
            yield number, wire, value
            continue
        size = {1: 8, 5: 4}.get(wire)
        if wire == 2:
            size, place = _varint(data, place)
        if size is None or number == 0 or place + size > len(data):
            raise ValueError("no protocol buffer")
        yield number, wire, data[place : place + size]
        place += size


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            break
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise ValueError("a number without an end")
