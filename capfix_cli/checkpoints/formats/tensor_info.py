"""A tensor as a checkpoint describes it, and where in which file its numbers lie."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

_STORAGES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "UntypedStorage": "bytes",
}
_SAFETENSORS = {
    **{"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"},
    **{"I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8"},
    **{"U64": "uint64", "U32": "uint32", "U16": "uint16", "C64": "complex64", "BOOL": "bool"},
    **{"F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2"},
}
_ITEM_BYTES = {
    **{"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "complex64": 8, "complex128": 16},
    **{"int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint8": 1, "bool": 1},
    **{"uint64": 8, "uint32": 4, "uint16": 2, "float8_e4m3fn": 1, "float8_e5m2": 1},
}
MOST_ELEMENTS = 2**63 - 1  # what PyTorch itself can count
MOST_DIMENSIONS = 64  # PyTorch's own limit


@dataclass(frozen=True)
class TensorPlace:
    """Where the bytes of a storage lie.

    Attributes:
        file: the file that holds them, as they are: not compressed.
        start: offset of the first byte in the file.
        size: bytes.
        big_endian: whether the most significant byte of each number comes first.
    """

    file: Path
    start: int
    size: int
    big_endian: bool = False


@dataclass(frozen=True)
class TensorInfo:
    """Name, shape and kind of a tensor, and where its values are; never the values.

    Attributes:
        name: dotted place in the checkpoint.
        shape: sizes.
        dtype: as PyTorch names it.
        storage: key of its storage; within a file, tensors that share one are tied.
        offset: of its first element in the storage, in elements.
        stride: elements from one index to the next, by dimension; None where they lie in order.
        storage_elements: how many elements its storage claims; None where it claims nothing.
        place: where its storage is; None where its values cannot be read as they lie.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    storage: str = ""
    offset: int = 0
    stride: tuple[int, ...] | None = None
    storage_elements: int | None = None
    place: TensorPlace | None = None

    @property
    def elements(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int | None:
        """Its size in bytes; None for a kind of number whose size is not known here."""
        item = item_bytes(self.dtype)
        return None if item is None else self.elements * item

    @property
    def span(self) -> int:
        """How many elements of its storage lie between its first and its last, both included."""
        if self.elements == 0:
            return 0
        if self.stride is None:
            return self.elements
        return 1 + sum((n - 1) * step for n, step in zip(self.shape, self.stride, strict=True))

    @property
    def location(self) -> tuple[object, ...] | None:
        """What two tensors share exactly where they are the same numbers; None if unknown."""
        if self.place is not None:
            return (self.place.file, self.place.start, self.offset)
        return (self.storage, self.offset) if self.storage else None


def check_claims(tensor: TensorInfo) -> None:
    """Hold a tensor to what its storage has, before anything is counted or read by its claims.

    Raises:
        ValueError: sizes or steps below 0, more than PyTorch could count, or an end outside the
            storage.
    """
    name = f"its tensor {tensor.name[:80]!r}"
    if len(tensor.shape) > MOST_DIMENSIONS:
        raise ValueError(f"{name} claims {len(tensor.shape)} dimensions")
    if any(n < 0 for n in tensor.shape) or tensor.elements > MOST_ELEMENTS:
        raise ValueError(f"{name} claims an impossible shape")
    if tensor.stride is not None and (
        len(tensor.stride) != len(tensor.shape) or any(step < 0 for step in tensor.stride)
    ):
        raise ValueError(f"{name} claims impossible strides")
    item = item_bytes(tensor.dtype)
    if tensor.place is None or item is None:
        return
    held = tensor.place.size
    claimed = tensor.storage_elements
    if claimed is not None and (claimed < 0 or claimed * item > held):
        raise ValueError(f"the storage of {name[4:]} claims {claimed} elements in {held} bytes")
    if tensor.offset < 0 or (tensor.offset + tensor.span) * item > held:
        raise ValueError(
            f"{name} claims elements {tensor.offset} to {tensor.offset + tensor.span} of a storage"
            f" of {held} bytes"
        )


def dtype_of_storage(name: str) -> str:
    """``torch.FloatStorage`` -> ``float32``; the name itself where unknown."""
    last = name.rpartition(".")[2]
    return _STORAGES.get(last, last)


def dtype_of_safetensors(name: str) -> str:
    """``F32`` -> ``float32``; the name itself where unknown."""
    return _SAFETENSORS.get(name, name)


def item_bytes(dtype: str) -> int | None:
    """Bytes of one number; None where unknown."""
    return _ITEM_BYTES.get(dtype)
