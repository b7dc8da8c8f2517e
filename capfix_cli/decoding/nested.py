"""Choosing rows of memories and states: any nesting of tensors in tuples, lists and dicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def apply(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Change every tensor of a nesting, keeping its form; other values stay."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: apply(inner, change) for key, inner in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(apply(inner, change) for inner in value))
    if isinstance(value, list | tuple):
        return type(value)(apply(inner, change) for inner in value)
    return value


def select(value: Any, rows: Tensor, dim: int = 0) -> Any:
    """Take rows, in their order and as often as named, along ``dim`` of every tensor.

    Tensors with too few dimensions to have that axis are left as they are.
    """

    def take(tensor: Tensor) -> Tensor:
        return tensor if tensor.ndim <= dim else tensor.index_select(dim, rows.to(tensor.device))

    return apply(value, take)


def repeat(value: Any, times: int, dim: int = 0, *, copy: bool = False) -> Any:
    """Give every row ``times`` times along ``dim``, its copies side by side.

    A single row is repeated without copying it, unless ``copy`` asks for that: who writes into
    the result needs copies.
    """

    def spread(tensor: Tensor) -> Tensor:
        if tensor.ndim <= dim or times == 1:
            return tensor
        if tensor.shape[dim] == 1 and not copy:
            sizes = [-1] * tensor.ndim
            sizes[dim] = times
            return tensor.expand(sizes)
        return tensor.repeat_interleave(times, dim)

    return apply(value, spread)


def all_finite(value: Any) -> bool:
    """Say whether no floating-point tensor of a nesting has a NaN or an infinity."""
    found = True

    def look(tensor: Tensor) -> Tensor:
        nonlocal found
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            found = False
        return tensor

    apply(value, look)
    return found
