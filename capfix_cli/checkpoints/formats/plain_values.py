"""Settings as plain values, whatever a file nests, repeats or hides in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from capfix_cli.checkpoints.formats.checkpoint_content import key_name, printable
from capfix_cli.checkpoints.safe_pickle.safe_unpickler import Stub

DEEPEST = 6  # levels that are shown
MOST_ITEMS = 200  # of one list or mapping
MOST_VALUES = 5_000  # of all settings together; what shares its parts can unfold without end
LONGEST = 2_000  # characters of one text
ELLIPSIS = "..."


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
        state = value.__dict__.get("state") or value.__dict__.get("items")
        if isinstance(state, Mapping):
            for name in ("_content", "_val"):
                if name in state:
                    held = state[name]
                    return self.of(held, depth + 1 if isinstance(held, Stub) else depth)
        inner = self.of(state, depth + 1) if state else None
        return inner if isinstance(inner, dict) else f"<{printable(type(value)._name[:200])}>"
