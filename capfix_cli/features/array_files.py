"""Single files of arrays: ``.npy``, ``.npz``, ``.pt``, pickles and HDF5, each read without code."""

from __future__ import annotations

import functools
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from capfix_cli.captions.captions_file import printable
from capfix_cli.core.errors import CapfixError
from capfix_cli.features.array_pickle import (
    array_header,
    read_npy,
    records_of,
    to_numpy,
    unpickle_arrays,
)
from capfix_cli.features.feature_entries import NoFeatures

NPY, NPZ = (".npy",), (".npz",)
TORCH = (".pt", ".pth")
PICKLE = (".pkl", ".pickle", ".p")
HDF5 = (".h5", ".hdf5", ".hdf")
SUFFIXES = (*NPY, *NPZ, *TORCH, *PICKLE, *HDF5)
MISSING = "HDF5 files need h5py: pip install 'capfix[features]'."


def is_feature_file(path: Path) -> bool:
    """Say by its suffix whether a file may hold features."""
    return path.suffix.lower() in SUFFIXES


def read_value(path: Path) -> Any:
    """Read all that a file holds: arrays, and dicts and lists of them; HDF5 is opened elsewhere.

    Raises:
        NoFeatures: unreadable or damaged; in words.
    """
    suffix = path.suffix.lower()
    try:
        if not path.stat().st_size:
            raise NoFeatures("an empty file")
        if suffix in NPY:
            return read_npy(path)
        if suffix in NPZ:
            return read_npz(path)
        if suffix in TORCH:
            return read_torch(path)
        with path.open("rb") as file:
            return unpickle_arrays(file, path.stat().st_size)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise NoFeatures(f"unreadable: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return printable(" ".join(str(text).split()))[:120].rstrip(".")


def read_npz(path: Path) -> dict[str, Any]:
    """Read every array of an archive; objects in it through the inert reader.

    Raises:
        ValueError, zipfile.BadZipFile: damaged.
    """
    found: dict[str, Any] = {}
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            with archive.open(info) as file:
                shape, fortran, dtype = array_header(file)
                name = info.filename.removesuffix(".npy")
                if dtype.hasobject:
                    found[name] = unpickle_arrays(file, info.file_size)
                    continue
                array = np.frombuffer(file.read(), dtype=dtype)
                array = array.reshape(shape, order="F" if fortran else "C")
                found[name] = records_of(array) if dtype.names else array
    return found


def read_torch(path: Path) -> Any:
    """Read what ``torch.save`` wrote: tensors become arrays; nothing in it is executed.

    Raises:
        ValueError: damaged, or it needs code to open.
    """
    try:
        value = torch.load(path, map_location="cpu", weights_only=True, mmap=False)
    except pickle.UnpicklingError:
        return _torch_pickle(path)  # arrays of NumPy's, which weights_only refuses
    except (RuntimeError, EOFError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"the file is damaged ({type(error).__name__})") from error
    return _arrays(value)


def _torch_pickle(path: Path) -> Any:
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            return unpickle_arrays(file, path.stat().st_size)
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.filename.endswith("data.pkl"):
                with archive.open(info) as file:
                    return unpickle_arrays(file, info.file_size)
    raise ValueError("no pickle in it")


def _arrays(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return to_numpy(value)
    if isinstance(value, Mapping):
        return {name: _arrays(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_arrays(item) for item in value]
    return value


@functools.lru_cache(maxsize=32)
def open_hdf5(path: Path) -> Any:
    """Open an HDF5 file for reading, once.

    Raises:
        CapfixError: h5py is not installed, or the file is no HDF5.
    """
    try:
        import h5py
    except ImportError as error:
        raise CapfixError(
            f"{printable(str(path))} is an HDF5 file, and h5py is not installed.",
            "pip install 'capfix[features]'",
        ) from error
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise CapfixError(
            f"{printable(str(path))} is not a readable HDF5 file: {_one_line(error)}.",
            "Copy or save it again.",
        ) from error


@functools.lru_cache(maxsize=4)
def held_value(path: Path) -> Any:
    """Read a file of many clips, and keep it while its clips are asked for."""
    return read_value(path)
