"""Choosing rows of memories and states: any nesting of tensors in tuples, lists and dicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def apply(value: Any, change: Callable[[Tensor], Any]) -> Any:
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


def join(values: Sequence[Any], dim: int = 0) -> Any | None:
    """Put the rows of nestings of one form below one another along ``dim``.

    Returns:
        None where they differ in more than their rows: another form, other sizes, other values.
    """
    tensors: list[list[Tensor]] = []
    forms = []
    for value in values:
        found: list[Tensor] = []

        def collect(tensor: Tensor, into: list[Tensor] = found) -> None:
            into.append(tensor)

        forms.append(apply(value, collect))
        tensors.append(found)
    try:
        if any(form != forms[0] for form in forms[1:]):
            return None
    except ValueError:  # arrays, of which equality is no single answer
        return None
    joined: list[Tensor] = []
    for same in zip(*tensors, strict=True):
        if same[0].ndim <= dim:
            if not all(torch.equal(same[0], other) for other in same[1:]):
                return None
            joined.append(same[0])
            continue
        sizes = {(*t.shape[:dim], *t.shape[dim + 1 :], t.dtype) for t in same}
        if len(sizes) > 1:
            return None
        joined.append(torch.cat(list(same), dim))
    waiting = iter(joined)
    return apply(values[0], lambda tensor: next(waiting))


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
