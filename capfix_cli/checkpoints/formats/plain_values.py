"""Settings as plain values, whatever a file nests, repeats or hides in them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from capfix_cli.checkpoints.formats.checkpoint_content import key_name, printable
from capfix_cli.checkpoints.formats.tensor_info import TensorInfo
from capfix_cli.checkpoints.safe_pickle.safe_unpickler import Stub
from capfix_cli.checkpoints.safe_pickle.stub_arrays import number_of, shown_array
from capfix_cli.checkpoints.safe_pickle.stub_contents import (
    arguments_of,
    attributes_of,
    class_of,
    items_of,
    wrapped_by,
)

DEEPEST = 6  # levels that are shown
MOST_ITEMS = 200  # of one list or mapping
MOST_VALUES = 5_000  # of all settings together; what shares its parts can unfold without end
LONGEST = 2_000  # characters of one text
MOST_ARGUMENTS = 8  # of a call
ELLIPSIS = "..."
_OLD_NAMES = {"__builtin__.xrange": "range"}  # what pickles of protocol 2 call it


class PlainValues:
    """Turns what an inert reading gave into plain values, with one limit over all of them."""

    def __init__(self) -> None:
        self.left = MOST_VALUES

    def of(self, value: Any, depth: int) -> Any:
        """Give a value plainly; what is none is named by its type, what is too much by an ellipsis.

        OmegaConf's nodes give what they hold.
        """
        self.left -= 1
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, TensorInfo):
            return f"<tensor {list(value.shape)}>"
        if isinstance(value, type) and issubclass(value, Stub):  # a class or function by its name
            return f"<{printable(value._name[:200])}>"
        if isinstance(value, str):
            return printable(value[:LONGEST], keep="\n\t")
        return ELLIPSIS if depth >= DEEPEST or self.left <= 0 else self._inner(value, depth)

    def _inner(self, value: Any, depth: int) -> Any:
        if isinstance(value, Mapping):
            return self._mapping(value, depth)
        if isinstance(value, list | tuple | set | frozenset):
            rows = [self.of(item, depth + 1) for item in list(value)[:MOST_ITEMS] if self.left > 0]
            return rows if len(rows) == len(value) else [*rows, ELLIPSIS]
        if isinstance(value, Stub):
            return self._stub(value, depth)
        return f"<{type(value).__name__}>"

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        rows = {}
        for key, item in list(value.items())[:MOST_ITEMS]:
            if self.left <= 0:
                break
            rows[key_name(key)] = self.of(item, depth + 1)
        return rows if len(rows) == len(value) else {**rows, ELLIPSIS: ELLIPSIS}

    def _stub(self, value: Stub, depth: int) -> Any:
        """Give what an object of an unknown class holds: its items, what it wraps, its fields."""
        number = number_of(value)
        if number is not None:
            return number
        shown = shown_array(value)
        if shown is not None:
            return shown
        items = items_of(value)
        if items is not None:  # a class derived from dict keeps its items as attributes as well
            return self._inner(items, depth)
        wrapped = wrapped_by(value)
        attributes = attributes_of(value)
        if wrapped is not None or "_val" in attributes:
            return self.of(wrapped, depth + 1 if isinstance(wrapped, Stub) else depth)
        public = {k: v for k, v in attributes.items() if not str(k).startswith("_")}
        fields = public or attributes
        if fields:
            return self._mapping(fields, depth)
        return self._called(value, depth)

    def _called(self, value: Stub, depth: int) -> str:
        """Write an object that is all in its arguments as a call: ``slice(1, 2, None)``."""
        name = printable(class_of(value)[:200])
        given = [self.of(item, depth + 1) for item in arguments_of(value)[:MOST_ARGUMENTS]]
        last = _OLD_NAMES.get(name) or name.rpartition(".")[2]
        if name.startswith("pathlib.") and all(isinstance(part, str) for part in given):
            return str(PurePosixPath(*given))
        return f"<{last}({', '.join(map(repr, given))})>"[:LONGEST] if given else f"<{name}>"
