"""What was computed of memories that are in use, so that the next trial over them need not."""

from __future__ import annotations

import weakref
from typing import Any

from torch import Tensor

# Bytes kept of all memories together. A diagnosis keeps 256 clips: a prompt of 300 tokens takes
# 17 MB in a language model of 28 layers with 4 heads of keys, so that half of them fit here.
MOST_BYTES = 2**31


class KeptPrompts:
    """Prepared memories by the tensor that they were made of, gone when it goes.

    The first ones stay: trials go over all memories in turn, and a store that dropped the oldest
    would drop each just before it is asked for again.
    """

    def __init__(self) -> None:
        self._of: dict[tuple[int, bool], tuple[weakref.ref[Tensor], Any, int]] = {}

    def find(self, key: Tensor, training: bool) -> Any | None:
        """Give what was kept of this very tensor, with the network in this mode."""
        held = self._of.get((id(key), training))
        return held[1] if held is not None and held[0]() is key else None

    def keep(self, key: Tensor, training: bool, prepared: Any) -> None:
        """Keep it while there is room and the tensor is in use."""
        size = _bytes(prepared)
        if size + sum(held[2] for held in self._of.values()) > MOST_BYTES:
            return
        number, store = (id(key), training), self._of
        store[number] = (weakref.ref(key, lambda _: store.pop(number, None)), prepared, size)


def _bytes(value: Any) -> int:
    if isinstance(value, Tensor):
        return value.element_size() * value.numel()
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return 0
    return sum(_bytes(inner) for inner in value)
