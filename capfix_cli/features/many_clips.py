"""Many clips in one file: a dict by name, packed rows with their lengths, or an array a clip."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from capfix_cli.features.array_files import HDF5, held_value, open_hdf5
from capfix_cli.features.feature_entries import (
    NAMES,
    SAID,
    Arrays,
    Entry,
    Field,
    NoFeatures,
    as_array,
    field_of,
    may_be_features,
    record_entry,
    texts_of,
)

MOST_PACKED = 40  # fields of a packed file; one with a dataset a clip has more
LENGTHS = ("_shape", "_length", "_lengths", "_len")
ALL_LENGTHS = ("lengths", "length", "n_frames", "num_frames")


@dataclass(frozen=True)
class Columns:
    """Arrays whose first axis counts clips.

    Attributes:
        rows: how many clips.
        features: name -> array [N, ...], sliced when a row is read.
        lengths: name of the array -> [N] lengths or [N, axes] shapes of its rows.
        names: of the clips; None where nothing names them.
        said: captions of each clip; None where there are none.
    """

    rows: int
    features: Mapping[str, Any]
    lengths: Mapping[str, Any]
    names: list[str] | None
    said: list[tuple[str, ...]] | None


def entries_of_file(path: Path) -> list[Entry]:
    """Give the clips of one file that holds many.

    Raises:
        NoFeatures: it holds none; in words.
        CapfixError: HDF5 without h5py.
    """
    if path.suffix.lower() in HDF5:
        return _of_hdf5(path)
    value = held_value(path)
    if isinstance(value, np.ndarray):
        return _rows(path, _only(value))
    if isinstance(value, list):
        return _of_list(path, value)
    if isinstance(value, Mapping):
        columns = _columns({str(name): _column(item) for name, item in value.items()})
        if columns is not None:
            return _rows(path, columns)
        return _of_mapping(path, value)
    raise NoFeatures("holds no arrays")


def _only(array: np.ndarray[Any, Any]) -> Columns:
    return Columns(len(array) if array.ndim else 0, {"": array}, {}, None, None)


def _of_mapping(path: Path, value: Mapping[Any, Any]) -> list[Entry]:
    """Name -> array, or name -> record of arrays."""
    entries = []
    for key, item in value.items():
        try:
            read = functools.partial(_held, path, key)
            entries.append(record_entry(str(key), path, item, read))
        except NoFeatures:
            continue  # settings beside the arrays
    if not entries:
        raise NoFeatures(f"holds the fields {', '.join(map(str, list(value)[:5]))}, no arrays")
    return entries


def _of_list(path: Path, value: list[Any]) -> list[Entry]:
    """A list of arrays, or of records that name their clips."""
    entries = []
    for row, item in enumerate(value):
        try:
            read = functools.partial(_held, path, row)
            entries.append(record_entry(row_key(row), path, item, read))
        except NoFeatures:
            continue
    if not entries:
        raise NoFeatures(f"holds a list of {len(value)} items, no arrays among them")
    return entries


def _held(path: Path, key: Any) -> Any:
    return held_value(path)[key]


def row_key(row: int) -> str:
    """Name a clip that has no name but its place."""
    return f"row {row}"


def _column(item: Any) -> Any:
    """Give an array, a list of texts, or what is neither as it is."""
    array = as_array(item)
    return item if array is None else array


def _texts(item: Any) -> list[str] | None:
    """Give a column of one text a row."""
    if isinstance(item, np.ndarray) and item.dtype.kind in "SUO" and item.ndim == 1:
        item = item.tolist()
    if not isinstance(item, list) or not item:
        return None
    found = [texts_of(one) for one in item]
    return [texts[0] for texts in found] if all(len(texts) == 1 for texts in found) else None


def _columns(held: Mapping[str, Any]) -> Columns | None:
    """Tell arrays whose rows are clips from arrays that are a clip each.

    Rows are clips where a column of names or of lengths is as long as an array's first axis.
    """
    texts = {name: found for name, item in held.items() if (found := _texts(item)) is not None}
    numbers = {name: item for name, item in held.items() if hasattr(item, "shape") and item.shape}
    told = [name for name in NAMES if name in texts and len(set(texts[name])) > 1]
    by_length = [name for name in numbers if name.endswith(LENGTHS) or name.lower() in ALL_LENGTHS]
    # A file with a clip an array may call one of them "length": its neighbours then are of texts.
    size = len(texts[told[0]]) if told else None
    if size is None and by_length and len(held) <= MOST_PACKED:
        size = int(numbers[by_length[0]].shape[0])
    if size is None:
        size = _usual_size(numbers, len(held))
    if size is None:
        return None
    features = {
        name: item
        for name, item in numbers.items()
        if item.shape[0] == size
        and len(item.shape) >= 2
        and may_be_features(name, Field(tuple(item.shape), _kind(item)))
    }
    if not features:
        return None
    lengths = {
        name: found for name in features if (found := _lengths_of(name, numbers, size)) is not None
    }
    said = next((_captions(held[name], size) for name in SAID if name in held), None)
    names = texts[told[0]] if told else None
    return Columns(size, features, lengths, names, said)


def _usual_size(numbers: Mapping[str, Any], fields: int) -> int | None:
    """Take one array of three axes by itself for rows of clips."""
    many = [item for item in numbers.values() if len(item.shape) >= 3]
    return int(many[0].shape[0]) if len(many) == fields == 1 else None


def _kind(item: Any) -> str:
    kind: str = np.dtype(item.dtype).str
    return kind.lstrip("<>|=")


def _lengths_of(name: str, numbers: Mapping[str, Any], size: int) -> Any:
    wanted = [f"{name}{end}" for end in LENGTHS]
    for other in (*wanted, *ALL_LENGTHS):
        found = numbers.get(other)
        if found is not None and found.shape[0] == size and _kind(found)[0] in "iuf":
            return np.asarray(found)
    return None


def _captions(item: Any, size: int) -> list[tuple[str, ...]] | None:
    rows = item[:] if hasattr(item, "shape") else item
    if not isinstance(rows, list | np.ndarray) or len(rows) != size:
        return None
    return [texts_of(row) for row in rows]


def _rows(path: Path, columns: Columns) -> list[Entry]:
    """Make an entry a row."""
    if not columns.rows:
        raise NoFeatures("holds no rows")
    entries = []
    for row in range(columns.rows):
        fields = {
            name: Field(_shape(columns, name, row), _kind(item))
            for name, item in columns.features.items()
        }
        named = None if columns.names is None else columns.names[row]
        said = () if columns.said is None else columns.said[row]
        read = functools.partial(_row, columns, row)
        entries.append(Entry(named or row_key(row), path, fields, read, named, said))
    return entries


def _shape(columns: Columns, name: str, row: int) -> tuple[int, ...]:
    whole = tuple(columns.features[name].shape[1:])
    told = columns.lengths.get(name)
    if told is None:
        return whole
    sizes = np.atleast_1d(told[row]).astype(int).tolist()
    if len(sizes) == len(whole):
        return tuple(min(size, most) for size, most in zip(sizes, whole, strict=True))
    # One length a row: of the first axis, past those of size one.
    place = next((axis for axis, size in enumerate(whole) if size > 1), 0)
    return (*whole[:place], min(sizes[0], whole[place]), *whole[place + 1 :])


def _row(columns: Columns, row: int) -> Arrays:
    found = {}
    for name, item in columns.features.items():
        shape = _shape(columns, name, row)
        found[name] = np.asarray(item[row])[tuple(slice(0, size) for size in shape)]
    return found


def _of_hdf5(path: Path) -> list[Entry]:
    """A dataset a clip, a group a clip, or packed rows."""
    file = open_hdf5(path)
    import h5py

    held = {name: item for name, item in file.items() if isinstance(item, h5py.Dataset)}
    groups = {name: item for name, item in file.items() if isinstance(item, h5py.Group)}
    if held and len(held) <= MOST_PACKED:
        read = {
            name: _decoded(item) if item.dtype.kind in "OSU" else item
            for name, item in held.items()
        }
        columns = _columns(read)
        if columns is not None:
            return _rows(path, columns)
    entries = [_dataset(path, name, item) for name, item in held.items() if item.shape]
    for name, group in groups.items():
        entries += _group(path, name, group)
    if not entries:
        raise NoFeatures("holds no datasets of numbers")
    return entries


def _decoded(item: Any) -> Any:
    if item.ndim != 1:
        return np.asarray(item.asstr()[:], dtype=object)
    return [text.decode("utf-8", "replace") if isinstance(text, bytes) else text for text in item]


def _dataset(path: Path, name: str, item: Any) -> Entry:
    field = Field(tuple(item.shape), _kind(item))
    return Entry(name, path, {"": field}, lambda: {"": np.asarray(open_hdf5(path)[name])})


def _group(path: Path, name: str, group: Any) -> list[Entry]:
    """Datasets of a group: a clip's several arrays, or a folder of clips."""
    import h5py

    held = {k: v for k, v in group.items() if isinstance(v, h5py.Dataset) and v.shape}
    deeper = [(k, v) for k, v in group.items() if isinstance(v, h5py.Group)]
    entries = [entry for k, v in deeper for entry in _group(path, f"{name}/{k}", v)]
    numbers = {k: v for k, v in held.items() if v.dtype.kind in "biuf"}
    if not numbers:
        return entries
    if len(numbers) > 6:  # of a clip nobody keeps so many kinds
        return [*entries, *(_dataset(path, f"{name}/{k}", v) for k, v in numbers.items())]
    fields = {k: Field(tuple(v.shape), _kind(v)) for k, v in numbers.items()}

    def read() -> Arrays:
        return {k: np.asarray(open_hdf5(path)[f"{name}/{k}"]) for k in fields}

    return [*entries, Entry(name, path, fields, read)]


def described(entry: Entry) -> str:
    """Say what an entry's arrays are, for a list of fields.

    >>> described(Entry("a", Path("a.npy"), {"x": Field((3, 4), "f4")}, dict))
    'x [3, 4] float32'
    """
    return ", ".join(f"{name} {field}".strip() for name, field in entry.fields.items())


__all__ = ["Columns", "described", "entries_of_file", "field_of", "row_key"]
