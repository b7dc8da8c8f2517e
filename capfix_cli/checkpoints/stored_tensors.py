"""Tensors built from where their bytes lie in a file, without any unpickler."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor

from capfix_cli.checkpoints.formats.checkpoint_content import Content
from capfix_cli.checkpoints.formats.tensor_info import (
    TensorInfo,
    TensorPlace,
    check_claims,
    item_bytes,
)
from capfix_cli.core.errors import CapfixError


def stored_tensors(described: Mapping[str, TensorInfo], content: Content) -> dict[str, Tensor]:
    """Read tensors that an inert reading described; shared storages are read once.

    Args:
        described: name -> description, not yet placed in the file.
        content: what the file holds; it knows where each storage lies.

    Raises:
        CapfixError: a kind of number that is not known, or bytes that are not there.
    """
    places = {t.storage: t.place for t in content.tensors.values() if t.storage}
    read: dict[str, Tensor] = {}
    found = {}
    for name, tensor in described.items():
        placed = dataclasses.replace(tensor, name=name, place=places.get(tensor.storage))
        found[name] = _tensor(placed, read)
    return found


def _tensor(tensor: TensorInfo, read: dict[str, Tensor]) -> Tensor:
    kind = getattr(torch, tensor.dtype, None)
    place = tensor.place
    if not isinstance(kind, torch.dtype) or place is None or item_bytes(tensor.dtype) is None:
        raise CapfixError(
            f"The values of {tensor.name} cannot be read as they lie ({tensor.dtype}).",
            "Save model.state_dict() alone with torch.save.",
        )
    try:
        check_claims(tensor)
    except ValueError as error:
        raise CapfixError(f"The file is damaged: {error}.", "Copy or save it again.") from error
    if tensor.elements == 0:
        return torch.empty(tensor.shape, dtype=kind)
    key = f"{tensor.storage}/{tensor.dtype}"
    if key not in read:
        read[key] = _storage(place, kind)
    strides = tensor.stride or torch.empty(tensor.shape, device="meta").stride()
    return read[key].as_strided(tensor.shape, strides, tensor.offset)


def _storage(place: TensorPlace, kind: torch.dtype) -> Tensor:
    try:
        with place.file.open("rb") as file:
            file.seek(place.start)
            data = bytearray(file.read(place.size))
    except OSError as error:
        raise CapfixError(
            f"{place.file} cannot be read: {error.strerror or error}.", "Check the file."
        ) from error
    item = kind.itemsize
    whole = len(data) // item * item
    if len(data) < place.size:
        raise CapfixError(f"{place.file} ended while it was read.", "Copy or save it again.")
    if place.big_endian and item > 1:
        data = bytearray(b"".join(data[n : n + item][::-1] for n in range(0, whole, item)))
    return torch.frombuffer(data, dtype=kind, count=whole // item)
