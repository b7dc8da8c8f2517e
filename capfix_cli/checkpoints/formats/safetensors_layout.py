"""The safetensors layout: the length of a JSON header, the header, the bytes of the tensors."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import IO, Any

from capfix_cli.checkpoints.formats.checkpoint_content import Content, printable
from capfix_cli.checkpoints.formats.tensor_info import (
    TensorInfo,
    TensorPlace,
    check_claims,
    dtype_of_safetensors,
)

# The format's own reader stops at 100 MB. JSON takes twenty times its size in memory, and a tensor
# some 100 bytes of it: this is room for 160,000.
LARGEST_HEADER = 16 * 2**20


def read_tensor_file(path: Path, file: IO[bytes], size: int) -> Content:
    """Read the header of a safetensors file; its tensors are placed, not read.

    Raises:
        ValueError: damaged, or a tensor that does not lie in the file.
    """
    (length,) = struct.unpack("<Q", file.read(8))
    if length > LARGEST_HEADER:
        raise ValueError(f"its header claims {length} bytes")
    text = file.read(length)
    if len(text) < length:
        raise ValueError("it ends within its header")
    try:
        header: dict[str, Any] = json.loads(text)  # a mapping: the file is known by its brace
    except (RecursionError, ValueError) as error:
        raise ValueError("its header is not JSON") from error
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, row in header.items():
        tensor = _tensor(printable(name), row, path, 8 + length, size)
        tensors[tensor.name] = tensor
    value: dict[str, Any] = {"state_dict": tensors}
    if isinstance(metadata, dict):
        value |= {str(key): _json(item) for key, item in metadata.items()}
    return Content("safetensors", value, tensors)


def _tensor(name: str, row: Any, path: Path, begin: int, size: int) -> TensorInfo:
    shape = row.get("shape") if isinstance(row, dict) else None
    if not isinstance(shape, list) or not all(type(n) is int for n in shape):
        raise ValueError(f"its tensor {name[:80]!r} has no shape")
    ends = row.get("data_offsets")
    if not isinstance(ends, list) or len(ends) != 2 or not all(type(n) is int for n in ends):
        raise ValueError(f"its tensor {name[:80]!r} has no data_offsets")
    first, last = ends
    if not 0 <= first <= last <= size - begin:
        raise ValueError(
            f"its tensor {name[:80]!r} claims bytes {first} to {last} of {size - begin}"
        )
    dtype = dtype_of_safetensors(str(row.get("dtype"))[:40])
    place = TensorPlace(path, begin + first, last - first)
    tensor = TensorInfo(name, tuple(shape), dtype, f"[{first}, {last}]", place=place)
    check_claims(tensor)
    if tensor.bytes is not None and tensor.bytes != place.size:
        raise ValueError(
            f"its tensor {name[:80]!r} has {place.size} bytes, its shape needs {tensor.bytes}"
        )
    return tensor


def _json(value: Any) -> Any:
    try:
        return json.loads(value)
    except (TypeError, ValueError, RecursionError):
        return value
