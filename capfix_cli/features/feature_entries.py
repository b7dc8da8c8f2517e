"""What a file of features holds: clips by name, each with its arrays, read when they are needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# Fields that name a clip, wherever arrays are kept.
NAMES = (
    *("audio_name", "fname", "file_name", "filename", "audio_id", "clip_id", "name", "names"),
    *("id", "ids", "key", "keys", "video_id", "clip", "path", "file_path", "file"),
)
SAID = ("caption", "captions", "text", "caption_1")  # fields of what people say
_NO_FEATURES = ("_shape", "_length", "_lengths", "_len", "_ind", "_inds")
_LENGTHS = ("length", "lengths", "n_frames", "num_frames", "audio_length", "label", "labels")

Arrays = Mapping[str, "np.ndarray[Any, Any]"]


class NoFeatures(Exception):  # noqa: N818 - it is an answer, not a failure
    """Why a file or a clip has no features that can be used, in words."""


@dataclass(frozen=True)
class Field:
    """An array as its file describes it.

    Attributes:
        shape: of it.
        kind: of number, as NumPy writes it.
    """

    shape: tuple[int, ...]
    kind: str

    @property
    def numeric(self) -> bool:
        """Whether it holds numbers in an order."""
        return self.kind[:1] in "biuf" and len(self.shape) > 0

    def __str__(self) -> str:
        return f"[{', '.join(map(str, self.shape))}] {np.dtype(self.kind).name}"


@dataclass(frozen=True)
class Entry:
    """One clip, or one caption's copy of a clip.

    Attributes:
        key: its name as the file has it: a path in the folder without the suffix, a key, a row.
        path: the file that it is in.
        fields: name -> array, as the file describes it; the only one of a file has no name.
        read: gives the arrays.
        named: what a field of its own says the clip is called; None where there is none.
        said: captions that lie beside its arrays.
    """

    key: str
    path: Path
    fields: Mapping[str, Field]
    read: Callable[[], Arrays]
    named: str | None = None
    said: tuple[str, ...] = ()


def field_of(array: np.ndarray[Any, Any]) -> Field:
    """Describe an array."""
    return Field(tuple(array.shape), array.dtype.str.lstrip("<>|="))


def arrays_in(value: Any) -> dict[str, np.ndarray[Any, Any]]:
    """Give the arrays that a value holds, by name; lists of numbers count as arrays.

    Raises:
        NoFeatures: it holds none.
    """
    if isinstance(value, np.ndarray):
        return {"": value}
    if isinstance(value, Mapping):
        found = {}
        for name, item in value.items():
            array = as_array(item)
            if array is not None and array.ndim:
                found[str(name)] = array
        if found:
            return found
    array = as_array(value)
    if array is not None and array.ndim:
        return {"": array}
    raise NoFeatures(f"holds {_what(value)}, no array")


def as_array(value: Any) -> np.ndarray[Any, Any] | None:
    """Give an array of numbers; None for what is none, lists of unequal lengths among it."""
    if isinstance(value, np.ndarray):
        return value if value.dtype.kind in "biuf" else None
    if not isinstance(value, list) or not value or isinstance(value[0], str | bytes | Mapping):
        return None
    try:
        array = np.asarray(value)
    except ValueError:
        return None
    return array if array.dtype.kind in "biuf" else None


def _what(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"the fields {', '.join(map(str, list(value)[:5]))}" if value else "nothing"
    if isinstance(value, list):
        return f"a list of {len(value)} items of different lengths or kinds"
    if isinstance(value, str | bytes):
        return "a text"
    return "a single number" if isinstance(value, int | float) else "an object of another class"


def texts_of(value: Any) -> tuple[str, ...]:
    """Give the texts of a field of captions."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        return (value,) if value.strip() else ()
    if isinstance(value, np.ndarray):
        value = value.reshape(-1).tolist()
    if isinstance(value, list | tuple):
        return tuple(text for item in value for text in texts_of(item))
    return ()


def name_in(value: Mapping[str, Any]) -> str | None:
    """Find what a record calls its clip."""
    for name in NAMES:
        found = texts_of(value.get(name)) if name in value else ()
        if len(found) == 1:
            return found[0]
    return None


def said_in(value: Mapping[str, Any]) -> tuple[str, ...]:
    """Find the captions in a record."""
    return next((found for name in SAID if (found := texts_of(value.get(name)))), ())


def may_be_features(name: str, field: Field) -> bool:
    """Say whether an array can be a clip's features: numbers, and no lengths, labels or shapes."""
    last = name.rpartition("/")[2].lower()
    return field.numeric and not last.endswith(_NO_FEATURES) and last not in _LENGTHS


def record_entry(key: str, path: Path, value: Any, read: Callable[[], Any]) -> Entry:
    """Make an entry of a value that was read to be described.

    Args:
        key: of the clip.
        path: of the file.
        value: an array, or a record of arrays and texts.
        read: gives the value again.

    Raises:
        NoFeatures: it holds no array.
    """
    arrays = arrays_in(value)
    record = value if isinstance(value, Mapping) else {}
    fields = {name: field_of(array) for name, array in arrays.items()}
    return Entry(key, path, fields, lambda: arrays_in(read()), name_in(record), said_in(record))
