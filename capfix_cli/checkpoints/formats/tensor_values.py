"""The numbers of single tensors, read out of a file as raw bytes and never more than a sample."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from capfix_cli.checkpoints.formats.tensor_info import (
    TensorInfo,
    TensorPlace,
    check_claims,
    item_bytes,
)
from capfix_cli.core.errors import CapfixError

Values = NDArray[np.float64]

MOST_VALUES = 16_384  # of one tensor: enough to see a distribution to 1 %
BLOCKS = 16  # evenly spread over a tensor, so that no one row or channel speaks for all
# As NumPy spells them, without the order of bytes. bfloat16 is the upper half of a float32.
_KINDS = {
    **{"float64": "f8", "float32": "f4", "float16": "f2", "bfloat16": "u2", "int64": "i8"},
    **{"int32": "i4", "int16": "i2", "int8": "i1", "uint8": "u1", "bool": "u1"},
    **{"uint64": "u8", "uint32": "u4", "uint16": "u2"},
}
# Distance from 1 to the next number: what is stored differs from what was drawn by half of it.
PRECISION = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}


def readable(tensor: TensorInfo) -> bool:
    """Say whether a tensor's values lie in the file as they are, in a known kind of number."""
    return tensor.place is not None and tensor.dtype in _KINDS


def sample_values(tensor: TensorInfo, most: int = MOST_VALUES) -> Values | None:
    """Read values of a tensor: all of a small one, evenly spread blocks of a large one.

    Args:
        tensor: as the file describes it.
        most: how many values at most.

    Returns:
        [n] with n <= ``most``, in the order of the storage; None where they cannot be read as they
        lie (compressed, an unknown kind of number, a view with gaps over more than ``most``).

    Raises:
        CapfixError: the file cannot be read, or is not what its header said.
    """
    if not readable(tensor) or most < 1:
        return None
    _hold_to_claims(tensor)
    count = tensor.elements
    if count != tensor.span or not _dense(tensor):
        values = read_values(tensor, most)
        return None if values is None else values.reshape(-1)
    if count <= most:
        return _read(tensor, [(0, count)])
    size = max(1, most // BLOCKS)
    blocks = min(BLOCKS, most // size)
    last = count - size
    starts = [round(last * block / max(1, blocks - 1)) for block in range(blocks)]
    return _read(tensor, [(start, size) for start in starts])


def read_values(tensor: TensorInfo, most: int) -> Values | None:
    """Read all values of a tensor in its shape.

    Args:
        tensor: as the file describes it.
        most: the most numbers of its storage that may be read for it.

    Returns:
        an array of the tensor's shape; None where they cannot be read, or take more than ``most``.

    Raises:
        CapfixError: as :func:`sample_values`.
    """
    if not readable(tensor):
        return None
    _hold_to_claims(tensor)
    # An expanded tensor claims more numbers than its storage has; an empty one, any shape.
    if max(tensor.span, math.prod(max(n, 1) for n in tensor.shape)) > most:
        return None
    values = _read(tensor, [(0, tensor.span)])
    if tensor.stride is None or tensor.elements == 0:
        return values[: tensor.elements].reshape(tensor.shape)
    strides = [step * values.itemsize for step in tensor.stride]
    view = np.lib.stride_tricks.as_strided(values, tensor.shape, strides, writeable=False)
    return np.array(view)


def _hold_to_claims(tensor: TensorInfo) -> None:
    try:
        check_claims(tensor)
    except ValueError as error:
        raise CapfixError(f"The file is damaged: {error}.", "Copy or save it again.") from error


def _dense(tensor: TensorInfo) -> bool:
    """Say whether the tensor's numbers, in whatever order, are those of its span, each once."""
    if tensor.stride is None:
        return True
    expected = 1
    for step, size in sorted(zip(tensor.stride, tensor.shape, strict=True)):
        if size == 1:
            continue
        if step != expected:
            return False
        expected *= size
    return True


def _read(tensor: TensorInfo, parts: list[tuple[int, int]]) -> Values:
    """Read (first, count) parts of the storage, counted from the tensor's first element."""
    place, item = tensor.place, item_bytes(tensor.dtype)
    if place is None or item is None:
        raise ValueError(tensor.dtype)
    read = []
    try:
        with place.file.open("rb") as file:
            for first, count in parts:
                file.seek(place.start + (tensor.offset + first) * item)
                data = file.read(count * item)
                if len(data) < count * item:
                    raise CapfixError(
                        f"{place.file} ended while it was read.", "Copy or save it again."
                    )
                read.append(_decode(data, tensor.dtype, place))
    except OSError as error:
        raise CapfixError(
            f"{place.file} cannot be read: {error.strerror or error}.", "Check the file."
        ) from error
    return np.concatenate(read) if read else np.zeros(0)


def _decode(data: bytes, dtype: str, place: TensorPlace) -> Values:
    order = ">" if place.big_endian else "<"
    numbers = np.frombuffer(data, np.dtype(order + _KINDS[dtype]))
    if dtype == "bfloat16":
        numbers = (numbers.astype(np.uint32) << 16).view(np.float32)
    with np.errstate(invalid="ignore"):
        # A sum makes every NaN a quiet one: others would warn wherever they are looked at.
        return numbers.astype(np.float64) + 0.0
