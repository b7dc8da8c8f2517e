"""Opening a checkpoint without running anything that is in it."""

from __future__ import annotations

import hashlib
import json
import pickle
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from capfix_cli.checkpoints.formats.file_format import how_to_get, read_content
from capfix_cli.checkpoints.safe_pickle.safe_unpickler import is_dangerous
from capfix_cli.core.errors import CapfixError


@dataclass(frozen=True)
class Opened:
    """A checkpoint's content.

    Attributes:
        path: as given.
        format: ``torch`` or ``safetensors``.
        sha256: of the file, in hex.
        data: what ``torch.load(weights_only=True)`` gives; for safetensors the metadata with the
            tensors under ``state_dict``.
    """

    path: str
    format: str
    sha256: str
    data: Any


def open_checkpoint(path: str) -> Opened:
    """Read a checkpoint's tensors and plain values; nothing in it is executed.

    Raises:
        CapfixError: missing, unreadable, not a checkpoint, or one that needs code to open.
    """
    file = Path(path)
    if not file.exists():
        raise CapfixError(f"There is no model at {path}.", how_to_get(path))
    if file.is_dir():
        raise CapfixError(
            f"{path} is a folder, not a checkpoint file.",
            "Give the file inside it, or an adapter with --adapter FILE.py:FACTORY.",
        )
    try:
        with file.open("rb") as handle:
            head = handle.read(16)
            handle.seek(0)
            sha256 = hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise CapfixError(
            f"{path} cannot be read: {error.strerror}.", "Check the file's permissions."
        ) from error
    if head[8:9] == b"{":
        return Opened(path, "safetensors", sha256, _open_safetensors(path))
    if head[:2] != b"PK" and head[:1] != b"\x80":
        raise CapfixError(
            f"{path} is not a checkpoint: {_looks_like(head)}.",
            "Give a file written by torch.save, or a .safetensors file.",
        )
    return Opened(path, "torch", sha256, _open_torch(path))


def _looks_like(head: bytes) -> str:
    if not head:
        return "the file is empty"
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError:
        return f"it begins with the bytes {head[:4].hex(' ')}"
    return f"it is a text file that begins with {text.splitlines()[0]!r}"


def _open_safetensors(path: str) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CapfixError(
            f"{path} is a damaged safetensors file: {error}.", "Copy or save it again."
        ) from error
    return {**{key: _plain(value) for key, value in metadata.items()}, "state_dict": tensors}


def _plain(value: str) -> Any:
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def _open_torch(path: str) -> Any:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if any("/code/" in name for name in names):
            raise CapfixError(
                f"{path} is a TorchScript archive: it holds a program, and was not run.",
                "Save the module's state_dict() with torch.save and give that.",
            )
        if not any(name.endswith("data.pkl") for name in names):
            raise CapfixError(
                f"{path} is a zip archive that torch.save did not write.",
                "Give the checkpoint inside it.",
            )
    try:
        with warnings.catch_warnings():
            # It may be refused below, in words of our own.
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CapfixError(
            f"{path} holds more than tensors and plain values{_culprits(path)}: opening it could"
            " run code, so it was not opened.",
            f"`capfix inspect {path}` reads it safely. Save model.state_dict() and plain settings,"
            " or give an adapter that builds the model: --adapter FILE.py:FACTORY.",
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CapfixError(
            f"{path} is damaged or not a checkpoint: {first:.120}.", "Copy or save it again."
        ) from error


def _culprits(path: str) -> str:
    """Name what the file wants to import beyond torch's own containers."""
    try:
        content = read_content(Path(path))
    except CapfixError:
        return ""
    worst = [name for name in content.imports if is_dangerous(name)]
    plain = ("torch.", "torch._utils.", "collections.", "builtins.", "__builtin__.")
    other = [name for name in content.imports if not name.startswith(plain)]
    named = (worst or other)[:3]
    return f" ({', '.join(named)})" if named else ""
