"""Arrays out of pickles, without running anything that is in them.

``np.load(allow_pickle=True)`` and ``pickle.load`` run whatever a file names. Here NumPy's and
PyTorch's arrays are described by the inert reader and then built from their bytes, with every size
checked; anything else stays a stub.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from capfix_cli.checkpoints.safe_pickle.reader_limits import (
    FEWER,
    MOST_OPCODES,
    BoundedFile,
)
from capfix_cli.checkpoints.safe_pickle.safe_unpickler import (
    TRIED,
    InertUnpickler,
    Stub,
    UnpicklerFindings,
)

MOST_AXES = 16
WIDEST_ITEM = 2**20  # bytes of one item of an array
CLASS = "__class__"
DEEPEST = 32  # levels of dicts, lists and arrays of objects

_RECONSTRUCT = {f"numpy.{core}.multiarray._reconstruct" for core in ("core", "_core")}
_SCALAR = {f"numpy.{core}.multiarray.scalar" for core in ("core", "_core")}
_FROM_BUFFER = {f"numpy.{core}.numeric._frombuffer" for core in ("core", "_core")}
_PLAIN = "biufSU"  # kinds of numbers and texts whose bytes are their value

# NumPy reads its headers with Python's parser, which in 3.11 fails now and then where several
# threads are in it: clips are read by several.
PARSING = threading.Lock()


class PickledDtype(Stub):
    """What a pickle says of a NumPy dtype: its arguments and its state."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.__dict__["arguments"] = arguments


class PickledArray(Stub):
    """What a pickle says of a NumPy array: version, shape, dtype, order and data."""


class PickledBuffer(Stub):
    """An array as protocol 5 keeps it: bytes, dtype, shape and order."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.__dict__["arguments"] = arguments


class PickledScalar(PickledBuffer):
    """A NumPy number: dtype and bytes."""


class PickledTensor(PickledBuffer):
    """A tensor in a plain pickle: storage, offset, shape and strides."""


class PickledStorage(PickledBuffer):
    """The numbers of tensors in a plain pickle, as the bytes of a file of their own."""


class ArrayUnpickler(InertUnpickler):
    """The inert reader, keeping what arrays are made of."""

    def __init__(self, file: BoundedFile, findings: UnpicklerFindings) -> None:
        super().__init__(file, findings)
        self.most = MOST_OPCODES + file.size // FEWER

    def spend(self, count: int) -> None:
        """Count work done; the bytes of arrays are work as well, as many as the file has.

        Raises:
            ValueError: more than such a file may take.
        """
        self.opcodes += count
        if self.opcodes > self.most:
            raise ValueError(f"over {self.most} steps")

    def take_text(self, size: int, empty: Any, convert: Callable[[bytes], Any]) -> None:
        """Push a string of so many bytes, however many the file has."""
        if size < 0:
            raise ValueError("a string of negative length")
        self.append(convert(self.read(size)))  # type: ignore[attr-defined]

    def find_class(self, module: str, name: str) -> Any:
        """Give a describer of arrays, a container or a stub; import nothing."""
        whole = f"{module}.{name}"
        known: Any = None
        if whole in _RECONSTRUCT:
            known = _reconstruct
        elif whole in _SCALAR:
            known = PickledScalar
        elif whole in _FROM_BUFFER:
            known = PickledBuffer
        elif whole == "numpy.dtype" or module in {"numpy.dtypes"}:
            known = PickledDtype
        elif whole == "torch.storage._load_from_bytes":
            known = PickledStorage
        elif whole in {"torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"}:
            known = PickledTensor
        if known is None:
            return super().find_class(module, name)
        self.spend(1)
        return known


def _reconstruct(*arguments: Any) -> PickledArray:
    return PickledArray()


def unpickle_arrays(file: IO[bytes], size: int) -> Any:
    """Read one pickle: dicts, lists, texts, numbers and arrays; nothing in it is executed.

    Args:
        file: at the pickle's first byte.
        size: of the file in bytes.

    Returns:
        Plain values with ``numpy`` arrays; an array of records is a list of dicts, or one dict
        where it has no axis; an object of any other class is a dict of its attributes, with its
        class by the key ``CLASS``, or None where it has none.

    Raises:
        ValueError: damaged, or what it says of an array does not fit.
    """
    source = BoundedFile(file, size, max(1, size), 2 * size + 1)
    try:
        value = ArrayUnpickler(source, UnpicklerFindings()).load()
        return _plain(value, 0)
    except TRIED as error:
        raise ValueError(f"the pickle is damaged ({type(error).__name__}: {error})") from error


def read_npy(path: Path) -> Any:
    """Read a ``.npy`` file; arrays of objects through the inert reader, others from the disk.

    Returns:
        An array (of plain numbers: mapped, not read), a list of dicts for records, or what an
        array of objects holds.

    Raises:
        ValueError: damaged.
    """
    with path.open("rb") as file:
        shape, _, dtype = array_header(file)
        if dtype.hasobject:
            return unpickle_arrays(file, path.stat().st_size)
    with PARSING:
        array = np.load(path, mmap_mode="r" if shape else None, allow_pickle=False)
    return records_of(array) if dtype.names else array


def npy_header(path: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Read shape and kind of number of a ``.npy`` file, and nothing else.

    Raises:
        ValueError: damaged.
    """
    with path.open("rb") as file:
        shape, _, dtype = array_header(file)
    return shape, dtype


def array_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read the header of an array: its shape, whether columns come first, its kind of number.

    Raises:
        ValueError: damaged.
    """
    version = np.lib.format.read_magic(file)
    with PARSING:
        return _header_of(file, version)


def _header_of(
    file: IO[bytes], version: tuple[int, int]
) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(file)
    raise ValueError(f"a .npy file of version {version[0]}.{version[1]}")


def records_of(array: np.ndarray[Any, Any]) -> Any:
    """Give an array of records as dicts: one where it has no axis, else a list."""
    names = array.dtype.names or ()
    rows = [{name: row[name] for name in names} for row in array.reshape(-1)]
    return rows[0] if array.ndim == 0 else rows


def _plain(value: Any, depth: int) -> Any:
    """Build what was described."""
    if depth > DEEPEST:
        raise ValueError(f"nested over {DEEPEST} deep")
    if isinstance(value, Stub):
        return _built(value, depth)
    if isinstance(value, Mapping):
        return {_key(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, depth + 1) for item in value]
    return value if isinstance(value, str | int | float | bool | bytes) else None


def _built(value: Stub, depth: int) -> Any:
    """Build an array, a number or a tensor; of an object of another class, what it holds."""
    arguments = value.__dict__.get("arguments", ())
    if isinstance(value, PickledArray):
        return _array(value.__dict__.get("state"), depth)
    if isinstance(value, PickledScalar):
        return _numbers(_dtype(arguments[0]), (), arguments[1], fortran=False).item()
    if isinstance(value, PickledTensor):
        return _tensor(*arguments[:4])
    if type(value) is PickledBuffer:
        data, kind, shape, order = (*arguments, "C")[:4]
        return _numbers(_dtype(kind), shape, data, fortran=order == "F")
    state = value.__dict__.get("state")
    if isinstance(state, Mapping) and depth <= DEEPEST:
        held = {_key(key): _plain(item, depth + 1) for key, item in state.items()}
        return {CLASS: value._name, **held}
    return None


def _key(key: Any) -> Any:
    return key.decode("utf-8", "replace") if isinstance(key, bytes) else key


def _array(state: Any, depth: int) -> Any:
    if not isinstance(state, tuple) or len(state) not in {4, 5}:
        raise ValueError("an array without its state")
    shape, kind, fortran, data = state[-4:]
    dtype = _dtype(kind)
    if not dtype.hasobject:
        array = _numbers(dtype, shape, data, fortran=bool(fortran))
        return records_of(array) if dtype.names else array
    count = _count(shape)
    if not isinstance(data, list) or len(data) != count:
        raise ValueError("an array of objects whose data are none")
    if dtype.names:
        rows = [_record(dtype.names, row, depth) for row in data]
        return rows[0] if not shape else rows
    items = [_plain(item, depth + 1) for item in data]
    return items[0] if not shape else items


def _record(names: tuple[str, ...], row: Any, depth: int) -> dict[str, Any]:
    if not isinstance(row, tuple) or len(row) != len(names):
        raise ValueError("a record that does not fit its fields")
    return {name: _plain(item, depth + 1) for name, item in zip(names, row, strict=True)}


def _count(shape: Any) -> int:
    if (
        not isinstance(shape, tuple)
        or len(shape) > MOST_AXES
        or not all(type(size) is int and size >= 0 for size in shape)
    ):
        raise ValueError("an array without a shape")
    count = 1
    for size in shape:
        count *= size
    return count


def _numbers(dtype: np.dtype[Any], shape: Any, data: Any, *, fortran: bool) -> np.ndarray[Any, Any]:
    count = _count(shape)
    if isinstance(data, str):
        data = data.encode("latin-1")  # as Python 2 wrote bytes
    if not isinstance(data, bytes | bytearray) or len(data) != count * dtype.itemsize:
        raise ValueError("an array whose bytes do not fill its shape")
    array = np.frombuffer(bytes(data), dtype=dtype)
    return array.reshape(shape, order="F" if fortran else "C").copy()


def _dtype(described: Any) -> np.dtype[Any]:
    """Build a dtype from its description; only plain numbers, texts, objects and records of them.

    Raises:
        ValueError: of another kind.
    """
    state = getattr(described, "__dict__", {}).get("state")
    first = next(iter(getattr(described, "__dict__", {}).get("arguments", ())), None)
    names = state[3] if isinstance(state, tuple) and len(state) > 4 else None
    if names and isinstance(state, tuple):
        return _record_dtype(names, state)
    if not isinstance(first, str) or first[:1] not in {*_PLAIN, "O"}:
        raise ValueError(f"an array of the kind {str(first)[:20]!r}")
    order = state[1] if isinstance(state, tuple) and len(state) > 1 else "|"
    order = order if order in {"<", ">", "="} else ""
    dtype = np.dtype("O") if first[:1] == "O" else np.dtype(f"{order}{first}")
    if dtype.itemsize > WIDEST_ITEM or dtype.kind not in f"{_PLAIN}O":
        raise ValueError("an array of items that are none")
    return dtype


def _record_dtype(names: Any, state: tuple[Any, ...]) -> np.dtype[Any]:
    fields, size = state[4], state[5]
    if not isinstance(fields, Mapping) or type(size) is not int or size > WIDEST_ITEM:
        raise ValueError("records without fields")
    kinds, offsets = [], []
    for name in names:
        field = fields.get(name)
        if not isinstance(field, tuple) or len(field) < 2 or type(field[1]) is not int:
            raise ValueError("records without fields")
        kind = _dtype(field[0])
        if field[1] < 0 or field[1] + kind.itemsize > size:
            raise ValueError("a field outside its record")
        kinds.append(kind)
        offsets.append(field[1])
    spec = {"names": list(names), "formats": kinds, "offsets": offsets, "itemsize": size}
    return np.dtype(spec)  # type: ignore[call-overload, no-any-return]


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any) -> np.ndarray[Any, Any] | None:
    """Build a tensor of a plain pickle from its storage's own bytes."""
    arguments = getattr(storage, "__dict__", {}).get("arguments")
    if not arguments:
        return None  # its numbers are elsewhere in the file
    (data,) = arguments[:1]
    try:
        held = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever torch stumbles over
        raise ValueError("a tensor whose numbers cannot be read") from error
    numbers = torch.tensor([], dtype=held.dtype).set_(held)
    count, strides = _count(shape), _count(stride) >= 0
    last = offset + sum((n - 1) * s for n, s in zip(shape, stride, strict=True)) if count else 0
    if not strides or type(offset) is not int or offset < 0 or last >= max(1, len(numbers)):
        raise ValueError("a tensor that lies outside its numbers")
    found = torch.as_strided(numbers, shape, stride, offset)
    return to_numpy(found)


def to_numpy(tensor: torch.Tensor) -> np.ndarray[Any, Any]:
    """Give a tensor as an array; bfloat16 as float32, for which NumPy has no kind."""
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()
    if tensor.is_quantized or tensor.layout != torch.strided:
        raise ValueError("a tensor that is quantised or sparse")
    array: np.ndarray[Any, Any] = tensor.contiguous().numpy()
    return array
