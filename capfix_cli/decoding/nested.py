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


def detach_to(value: Any, device: torch.device | str) -> Any:
    """Move a nesting to a device, without gradients."""
    return apply(value, lambda tensor: tensor.detach().to(device))


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
