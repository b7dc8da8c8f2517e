"""NumPy's arrays and numbers as an inert reading leaves them: described, and built from bytes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capfix_cli.checkpoints.safe_pickle.safe_unpickler import Stub
from capfix_cli.checkpoints.safe_pickle.stub_contents import (
    arguments_of,
    attributes_of,
    class_of,
    items_of,
)

MOST_NUMBERS = 2**20  # of one array beside the weights: means of features, not features
_RECONSTRUCT = re.compile(r"^numpy\.(_?core)\.multiarray\._reconstruct$")
_SCALAR = re.compile(r"^numpy\.(_?core)\.multiarray\.scalar$")
_JOBLIB = re.compile(r"(^|\.)joblib\.numpy_pickle\.NumpyArrayWrapper$")
_NUMBERS = re.compile(r"^[<>|=]?[fiub][1248]$")  # kinds whose bytes are their value


def dtype_of(stub: Any) -> np.dtype[Any] | None:
    """Read a pickled dtype of plain numbers; None for objects, records and texts."""
    if not isinstance(stub, Stub) or class_of(stub) != "numpy.dtype":
        return None
    name = next(iter(arguments_of(stub)), None)
    state = stub.__dict__.get("state")
    order: Any = state[1] if isinstance(state, tuple) and len(state) > 1 else "|"
    if not isinstance(name, str) or not _NUMBERS.match(name) or order not in set("<>|="):
        return None
    return np.dtype(name.lstrip("<>|=")).newbyteorder(order)


def array_of(value: Any) -> NDArray[Any] | None:
    """Build an array of numbers from what a pickle says of it; None for anything else.

    Sizes are held to the bytes that are there.
    """
    if not isinstance(value, Stub):
        return None
    if _JOBLIB.search(class_of(value)):
        fields = attributes_of(value)
        shape, dtype, data = fields.get("shape"), dtype_of(fields.get("dtype")), fields.get("raw")
        fortran = fields.get("order") == "F"
    else:
        state: Any = value.__dict__.get("state")
        if not _RECONSTRUCT.match(class_of(value)) or not _is_array_state(state):
            return None
        shape, dtype, fortran, data = state[1], dtype_of(state[2]), bool(state[3]), state[4]
    if dtype is None or not isinstance(shape, tuple) or not _is_shape(shape):
        return None
    data = data.encode("latin-1", "replace") if isinstance(data, str) else data
    count = math.prod(shape)
    if not isinstance(data, bytes | bytearray) or count > MOST_NUMBERS:
        return None
    if len(data) != count * dtype.itemsize:
        return None
    return np.frombuffer(bytes(data), dtype).reshape(shape, order="F" if fortran else "C")


def _is_array_state(state: Any) -> bool:
    return isinstance(state, tuple) and len(state) == 5


def _is_shape(shape: Any) -> bool:
    return (
        isinstance(shape, tuple)
        and len(shape) <= 32
        and all(type(n) is int and n >= 0 for n in shape)
    )


def number_of(value: Any) -> bool | int | float | str | None:
    """Read a pickled NumPy number or text; None for anything else."""
    if not isinstance(value, Stub) or not _SCALAR.match(class_of(value)):
        return None
    given = arguments_of(value)
    if len(given) != 2:
        return None
    dtype, data = dtype_of(given[0]), given[1]
    data = data.encode("latin-1", "replace") if isinstance(data, str) else data
    if dtype is None or not isinstance(data, bytes) or len(data) != dtype.itemsize:
        return None
    number: bool | int | float = np.frombuffer(data, dtype)[0].item()
    return number


def shown_array(value: Any) -> Any:
    """Give a small array's numbers as lists, a large one in words; None where there is none."""
    if not isinstance(value, Stub):
        return None
    array = array_of(value)
    if array is not None:
        return array.tolist() if array.size <= 16 else f"<array {list(array.shape)} {array.dtype}>"
    if _RECONSTRUCT.match(class_of(value)):
        state: Any = value.__dict__.get("state")
        shape = state[1] if _is_array_state(state) and _is_shape(state[1]) else None
        return f"<array {list(shape)}>" if shape is not None else "<array>"
    return None


def plain_numbers(value: Any) -> NDArray[np.float64] | None:
    """See a pickled array, or a list of numbers, as an array; None for anything else."""
    array = array_of(value)
    if array is not None and array.dtype.kind in "fiu":
        return array.astype(np.float64)
    if isinstance(value, Stub):
        value = items_of(value)
    if isinstance(value, Mapping) or not isinstance(value, list | tuple) or not value:
        return None
    if len(value) <= MOST_NUMBERS and all(type(item) in {int, float} for item in value):
        return np.array(value, dtype=np.float64)
    return None
