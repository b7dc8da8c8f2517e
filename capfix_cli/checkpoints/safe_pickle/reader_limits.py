"""Bounds on what a hostile file can make a reader spend: bytes at once, objects, nesting.

Pickle is a program. Without a limit, a megabyte of it builds gigabytes of empty sets, numbers of
a million digits, or tuples nested so deeply that Python crashes when it hashes them.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from typing import IO, Any

# Real checkpoints need some thirty a tensor and four a word: whisper-large 40,000 and 200,000.
MOST_OPCODES = 4_000_000
LARGEST_PICKLE = 64 * 2**20  # bytes; word maps and names of real checkpoints stay below a tenth
LONGEST_TEXT = 2**20  # bytes of one string; longer ones are data, not names, and are passed over
DEEPEST_TUPLE = 64  # hash() of a tuple recurses in C without a check: a million levels crash Python
WIDEST_INTEGER = 64  # bits; wider ones print in quadratic time, and many share one hash
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # torch.save before 1.6 opens with this number
SET_STEPS = 3  # more than of other objects: an empty set takes 216 bytes, a list 56
FEWER = 16  # characters count as much as one object where they are copied


class BoundedFile:
    """A file of bytes that never reads more at once than it holds or than a limit.

    Args:
        file: opened for reading bytes.
        size: of the file in bytes.
        largest: the most bytes in one read.
        most: the most bytes in all reads together.
    """

    def __init__(self, file: IO[bytes], size: int, largest: int, most: int | None = None) -> None:
        self.file = file
        self.size = size
        self.largest = largest
        self.most = most
        self.given = 0

    def _allowed(self, count: int | None) -> int:
        left = max(0, self.size - self.file.tell())
        count = left if count is None or count < 0 else min(count, left)
        if count > self.largest:
            raise ValueError(f"it asks for {count} bytes at once")
        return count

    def _count(self, data: bytes) -> bytes:
        self.given += len(data)
        if self.most is not None and self.given > self.most:
            raise ValueError(f"its pickle goes on past {self.most} bytes")
        return data

    def read(self, count: int | None = -1, /) -> bytes:
        """Read up to ``count`` bytes; fewer where the file ends.

        Raises:
            ValueError: more than the limit.
        """
        return self._count(self.file.read(self._allowed(count)))

    def readline(self) -> bytes:
        """Read a line, or as much of it as one read may give."""
        return self._count(self.file.readline(min(self.size, LONGEST_TEXT)))

    def skip(self, count: int) -> None:
        """Pass over bytes without reading them.

        Raises:
            ValueError: the file ends before.
        """
        if count > self.size - self.file.tell():
            raise ValueError("it ends within a string")
        self.file.seek(count, 1)

    def seek(self, offset: int, whence: int = 0) -> int:
        """As of any file."""
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        """As of any file."""
        return self.file.tell()

    def seekable(self) -> bool:
        """Say that it can be moved in."""
        return True


class LimitedUnpickler(pickle._Unpickler):
    """The pure-Python pickle reader with bounds on all that it builds.

    Not its C twin: that sizes buffers by lengths that the file claims. It gives integers too wide
    to be ids or counts, and strings too long to be names, as short texts that say so.

    Raises:
        ValueError, pickle.UnpicklingError: out of bounds.
    """

    # What the parent's methods keep; typeshed does not say.
    stack: list[Any]
    append: Callable[[Any], None]
    dispatch: dict[int, Callable[[Any], None]]  # type: ignore[misc]

    def __init__(self, file: BoundedFile) -> None:
        super().__init__(file, encoding="latin-1")
        self.file = file
        self.opcodes = 0
        # Tuples that hold tuples, by id: how deep, how many items all told, and the tuple itself,
        # so that its id stays its own.
        self._nested: dict[int, tuple[int, int, Any]] = {}

    def spend(self, count: int) -> None:
        """Count work done.

        Raises:
            pickle.UnpicklingError: more than any real checkpoint takes.
        """
        self.opcodes += count
        if self.opcodes > MOST_OPCODES:
            raise pickle.UnpicklingError(f"over {MOST_OPCODES} steps")

    def keep_tuple(self, made: Any) -> None:
        """Note how deep a new tuple is nested.

        Raises:
            pickle.UnpicklingError: deeper than hashing could bear.
        """
        inner = [item for item in made if isinstance(item, tuple)]
        if not inner:
            return
        depth = 1 + max(self._nested[id(t)][0] if id(t) in self._nested else 1 for t in inner)
        if depth > DEEPEST_TUPLE:
            raise pickle.UnpicklingError(f"tuples nested over {DEEPEST_TUPLE} deep")
        weight = min(len(made) + sum(map(self.weight, inner)), MOST_OPCODES + 1)
        self._nested[id(made)] = depth, weight, made

    def weight(self, item: Any) -> int:
        """How many items must be looked at to hash an item."""
        if not isinstance(item, tuple):
            return 0
        return self._nested[id(item)][1] if id(item) in self._nested else len(item)

    def pay_for(self, items: Any) -> None:
        """Count the work of hashing items, those of pairs in lists included."""
        for item in items:
            if isinstance(item, tuple):
                self.spend(self.weight(item))
            elif isinstance(item, list):
                self.spend(len(item) + sum(map(self.weight, item)))

    def take_text(self, size: int, empty: Any, convert: Callable[[bytes], Any]) -> None:
        """Push a string of so many bytes; one that is no name is passed over."""
        if size < 0:
            raise pickle.UnpicklingError("a string of negative length")
        if size <= LONGEST_TEXT:
            data: bytes = self.read(size)  # type: ignore[attr-defined]
            self.append(convert(data))
            return
        if self._unframer.current_frame:  # type: ignore[attr-defined]
            self.read(size)  # type: ignore[attr-defined]
        else:
            self.file.skip(size)
        self.append(empty)


def _counted(act: Callable[[Any], None]) -> Callable[[Any], None]:
    def counted(self: LimitedUnpickler) -> None:
        self.opcodes += 1
        if self.opcodes > MOST_OPCODES:
            self.spend(0)
        act(self)

    return counted


def _large(act: Callable[[Any], None]) -> Callable[[Any], None]:
    """Pay for an object that takes as much memory as four others."""

    def made(self: LimitedUnpickler) -> None:
        self.spend(SET_STEPS)
        act(self)

    return made


def _tuple(act: Callable[[Any], None]) -> Callable[[Any], None]:
    def made(self: LimitedUnpickler) -> None:
        act(self)
        self.keep_tuple(self.stack[-1])

    return made


def _integer(act: Callable[[Any], None]) -> Callable[[Any], None]:
    def made(self: LimitedUnpickler) -> None:
        act(self)
        number = self.stack[-1]
        wide = type(number) is int and number.bit_length() > WIDEST_INTEGER
        if wide and number != LEGACY_MAGIC:
            self.stack[-1] = f"<integer of {number.bit_length()} bits>"

    return made


def _text(form: str, empty: Any) -> Callable[[Any], None]:
    width = struct.calcsize(form)

    def taken(self: Any) -> None:
        (size,) = struct.unpack(form, self.read(width))
        convert: Callable[[bytes], Any] = type(empty)
        if isinstance(empty, str):

            def convert(data: bytes) -> str:
                return str(data, "utf-8", "surrogatepass")

        self.take_text(size, empty, convert)

    return taken


def _string(self: Any) -> None:
    (size,) = struct.unpack("<i", self.read(4))
    self.take_text(size, "", self._decode_string)


def _paid_call(act: Callable[[Any], None], place: int) -> Callable[[Any], None]:
    """Pay for what a call may copy before it is made; its arguments are at ``stack[place]``."""

    def paid(self: LimitedUnpickler) -> None:
        arguments = self.stack[place]
        self.spend(len(arguments))
        for argument in arguments:
            if isinstance(argument, str | bytes | bytearray):
                self.spend(len(argument) // FEWER)
            elif isinstance(argument, dict | list | tuple | set | frozenset):
                self.spend(len(argument))
                self.pay_for(argument)
        act(self)

    return paid


def _paid_keys(act: Callable[[Any], None]) -> Callable[[Any], None]:
    """Pay for hashing what lies above the last mark, or the key below the value."""

    def paid(self: LimitedUnpickler) -> None:
        # After a mark the parent's ``stack`` holds only what came since.
        self.pay_for(self.stack[-2:-1] if act is _BEFORE[pickle.SETITEM[0]] else self.stack)
        act(self)

    return paid


_BEFORE = pickle._Unpickler.dispatch
_CHANGED: dict[bytes, Callable[[Any], None]] = {
    pickle.BINBYTES: _text("<I", b""),
    pickle.BINBYTES8: _text("<Q", b""),
    pickle.BYTEARRAY8: _text("<Q", bytearray()),
    pickle.BINUNICODE: _text("<I", ""),
    pickle.BINUNICODE8: _text("<Q", ""),
    pickle.BINSTRING: _string,
    pickle.REDUCE: _paid_call(_BEFORE[pickle.REDUCE[0]], -1),
    pickle.NEWOBJ: _paid_call(_BEFORE[pickle.NEWOBJ[0]], -1),
    pickle.NEWOBJ_EX: _paid_call(_BEFORE[pickle.NEWOBJ_EX[0]], -2),
}
_CHANGED |= {
    code: _paid_keys(_BEFORE[code[0]])
    for code in (pickle.SETITEM, pickle.SETITEMS, pickle.ADDITEMS, pickle.FROZENSET, pickle.DICT)
}
_CHANGED[pickle.EMPTY_SET] = _large(_BEFORE[pickle.EMPTY_SET[0]])
_CHANGED[pickle.FROZENSET] = _large(_CHANGED[pickle.FROZENSET])
_CHANGED |= {
    code: _tuple(_BEFORE[code[0]])
    for code in (pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3)
}
_CHANGED |= {
    code: _integer(_BEFORE[code[0]])
    for code in (pickle.INT, pickle.LONG, pickle.LONG1, pickle.LONG4)
}
LimitedUnpickler.dispatch = {
    code: _counted(_CHANGED.get(bytes([code]), act)) for code, act in _BEFORE.items()
}
