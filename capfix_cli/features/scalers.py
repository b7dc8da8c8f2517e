"""Scalers that lie in a checkpoint: what its features were standardised by, if they were."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from capfix_cli.features.array_files import read_torch
from capfix_cli.features.array_pickle import CLASS, unpickle_arrays
from capfix_cli.features.feature_entries import as_array
from capfix_cli.features.feature_layout import FeatureLayout

DEEPEST = 6  # levels of settings below which no scaler is sought
# Names of a mean and what is divided by, as scikit-learn and people's own code have them.
PAIRS = (
    ("mean_", "scale_"),
    ("mean", "std"),
    ("mean", "scale"),
    ("mu", "sigma"),
    ("feat_mean", "feat_std"),
    ("feature_mean", "feature_std"),
    ("features_mean", "features_std"),
)


@dataclass(frozen=True)
class Scaler:
    """A mean and a deviation for each number of a frame.

    Attributes:
        place: where in the checkpoint it lies.
        kind: its class, or ``mean and std``.
        mean: [D].
        scale: [D], what is divided by.
    """

    place: str
    kind: str
    mean: np.ndarray[Any, Any]
    scale: np.ndarray[Any, Any]

    @property
    def width(self) -> int:
        """D."""
        return len(self.mean)


def find_scalers(checkpoint: str) -> list[Scaler]:
    """Find scalers in a checkpoint and beside it; nothing in it is executed.

    Args:
        checkpoint: path of a file; anything else has none.
    """
    path = Path(checkpoint)
    if not path.is_file():
        return []
    value = _read(path)
    return list(_scalers(value, "", 0))


def scaler_notes(checkpoint: str, layout: FeatureLayout) -> list[str]:
    """Say which scalers of a checkpoint are of these features' width."""
    widths = {one.width for one in layout.fields}
    return [
        f"The checkpoint holds a {one.kind} of {one.width} numbers ({one.place}): where your own"
        " script applies it to features, encode_features() must do so too."
        for one in find_scalers(checkpoint)
        if one.width in widths
    ]


def _read(path: Path) -> Any:
    """Read settings and arrays of a checkpoint; None where neither can be had."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                names = [name for name in archive.namelist() if name.endswith("data.pkl")]
                if names:
                    with archive.open(names[0]) as file:
                        objects = unpickle_arrays(file, archive.getinfo(names[0]).file_size)
                    return _with_tensors(path, objects)
            return None
        with path.open("rb") as file:
            return unpickle_arrays(file, path.stat().st_size)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None


def _with_tensors(path: Path, objects: Any) -> Any:
    """Take tensors too where a mean lies beside the weights as one."""
    named = isinstance(objects, Mapping) and any(
        first in _names(objects) for first, _ in PAIRS if first != "mean_"
    )
    if not named:
        return objects
    try:
        return read_torch(path)
    except ValueError:
        return objects


def _names(value: Any, depth: int = 0) -> set[str]:
    if not isinstance(value, Mapping) or depth > DEEPEST:
        return set()
    found = {str(key).rpartition(".")[2] for key in value}
    return found.union(*(_names(item, depth + 1) for item in value.values()))


def _scalers(value: Any, place: str, depth: int) -> Iterator[Scaler]:
    if not isinstance(value, Mapping) or depth > DEEPEST:
        return
    for first, second in PAIRS:
        found = _pair(value, first, second)
        if found is not None:
            kind = str(value.get(CLASS, "mean and std")).rpartition(".")[2]
            yield Scaler(place or "at its top", kind, *found)
            break
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield from _scalers(item, f"{place}.{key}".strip("."), depth + 1)


def _pair(
    value: Mapping[Any, Any], first: str, second: str
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None:
    mean, scale = as_array(value.get(first)), as_array(value.get(second))
    if mean is None or scale is None:
        return None
    mean, scale = np.atleast_1d(mean.squeeze()), np.atleast_1d(scale.squeeze())
    if mean.ndim != 1 or mean.shape != scale.shape or len(mean) < 2:
        return None
    if not (np.isfinite(mean).all() and np.isfinite(scale).all() and (scale > 0).all()):
        return None
    return mean.astype(np.float32), scale.astype(np.float32)
