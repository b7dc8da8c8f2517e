"""A tensor as a checkpoint describes it."""

from __future__ import annotations

import math
from dataclasses import dataclass

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
    **{"BOOL": "bool"},
}


@dataclass(frozen=True)
class TensorInfo:
    """Name, shape and kind of a tensor; never its values.

    Attributes:
        name: dotted place in the checkpoint.
        shape: sizes.
        dtype: as PyTorch names it.
        storage: key of its storage; tensors that share one are tied.
        offset: of its first element in the storage.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    storage: str = ""
    offset: int = 0

    @property
    def elements(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


def dtype_of_storage(name: str) -> str:
    """``torch.FloatStorage`` -> ``float32``; the name itself where unknown."""
    last = name.rpartition(".")[2]
    return _STORAGES.get(last, last)


def dtype_of_safetensors(name: str) -> str:
    """``F32`` -> ``float32``; the name itself where unknown."""
    return _SAFETENSORS.get(name, name)
