"""What kind of file a checkpoint is, and its content as far as that is readable without code."""

from __future__ import annotations

import io
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from capfix_cli.checkpoints.formats.checkpoint_content import (
    Content,
    content_of,
    key_name,
    printable,
)
from capfix_cli.checkpoints.formats.safetensors_layout import read_tensor_file
from capfix_cli.checkpoints.formats.tensor_info import TensorPlace, item_bytes
from capfix_cli.checkpoints.formats.zip_archive import read_archive
from capfix_cli.checkpoints.safe_pickle.reader_limits import (
    LARGEST_PICKLE,
    LEGACY_MAGIC,
    BoundedFile,
)
from capfix_cli.checkpoints.safe_pickle.safe_unpickler import (
    UnpicklerFindings,
    bounded,
    read_pickle,
)
from capfix_cli.checkpoints.sentence_pieces import FIRST, read_pieces
from capfix_cli.core.errors import CapfixError

__all__ = ["Content", "how_to_get", "is_compressed_pickle", "is_pickle", "read_content"]

LEGACY_PROTOCOL = 1001
# Before protocol 2 pickles had no mark of their own. What Python 2 wrote unasked (protocol 0) is
# lines of text: a container first, or a class with its module; a full stop ends it. A list of words
# that begins with "cat" is none.
_OLD_PICKLE = re.compile(
    rb"\([dl]p\d+\n|\((?=[SVUXI(])|[\]}]q."
    rb"|c[A-Za-z_][\w.]*\n[A-Za-z_]\w*\n(?=\(|\)|p\d+\n|q)",
    re.DOTALL,
)
# An id of the Hub: owner and name, and no suffix of a file of weights.
_HUB_ID = re.compile(
    r"[A-Za-z0-9][\w.-]*/(?![^/]*\.(?:pt|pth|pkl|bin|ckpt|safetensors|npz?|h5|tar|zip|gz|json)$)"
    r"[A-Za-z0-9][\w.-]*"
)
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")  # of its levels
_PICKLE_HEAD = 256  # bytes that tell one
NUMPY = b"\x93NUMPY"
# First bytes -> what the file is and what to do with it.
FOREIGN = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "Give features with --features; convert Keras weights."),
    (b"\x08\x07\x12", "an ONNX file", "Give the PyTorch checkpoint that it was exported from."),
    (b"\x08\x08\x12", "an ONNX file", "Give the PyTorch checkpoint that it was exported from."),
    (b"GGUF", "a GGUF file", "Give the checkpoint that it was converted from."),
    (b"\x1f\x8b", "a gzip archive", "Unpack it and give the checkpoint inside."),
    (b"BZh", "a bzip2 archive", "Unpack it and give the checkpoint inside."),
    (b"\xfd7zXZ", "an xz archive", "Unpack it and give the checkpoint inside."),
    (b"7z\xbc\xaf", "a 7z archive", "Unpack it and give the checkpoint inside."),
    (b"%PDF", "a PDF file", "Give a checkpoint."),
    (b"RIFF", "an audio or video file", "Give it to --audio, in a folder."),
    (b"version https://g", "a Git LFS pointer", "Run `git lfs pull` to get the file itself."),
    (b"<!DOCTYPE", "a web page", "Download the file again, from its direct address."),
    (b"<html", "a web page", "Download the file again, from its direct address."),
    (b"fLaC", "an audio file", "Give it to --audio, in a folder."),
    (b"OggS", "an audio file", "Give it to --audio, in a folder."),
)
# Formats without first bytes of their own, by the end of the name.
_BY_SUFFIX = {
    ".pb": ("a TensorFlow graph", "Export the model to PyTorch first."),
    ".tflite": ("a TensorFlow Lite model", "Give the PyTorch checkpoint of the model."),
    ".msgpack": ("Flax weights", "Convert them to PyTorch first."),
    ".index": ("the index of a TensorFlow checkpoint", "Convert its weights to PyTorch first."),
    ".onnx": ("an ONNX file", "Give the PyTorch checkpoint that it was exported from."),
}


def is_pickle(file: IO[bytes]) -> bool:
    """Say whether a file is a pickle, of whatever protocol; it is left at its first byte."""
    head = file.read(_PICKLE_HEAD)
    if head[:1] != b"\x80" and _OLD_PICKLE.match(head):
        file.seek(-1, os.SEEK_END)
        found = file.read(1) == b"."
    else:
        found = head[:1] == b"\x80"
    file.seek(0)
    return found


def read_content(path: Path) -> Content:
    """Read a checkpoint's structure; tensors are described and placed, not read.

    Raises:
        CapfixError: missing, damaged, or no checkpoint; the message says what it is.
    """
    try:
        if not path.exists():
            raise CapfixError(f"There is no file {path}.", how_to_get(str(path)))
        if path.is_dir():
            raise CapfixError(f"{path} is a folder.", "Give the checkpoint file inside it.")
        if not path.is_file():  # opening a pipe would wait for ever
            raise CapfixError(f"{path} is no regular file.", "Give the path of a checkpoint.")
        with path.open("rb") as file:
            return _read(path, file, path.stat().st_size)
    except CapfixError:
        raise
    except zipfile.BadZipFile as error:
        if str(error) == "File is not a zip file":  # it begins as one
            error = zipfile.BadZipFile("its archive has no end, as if it was cut off")
        raise _damaged(path, error) from error
    except OSError as error:
        raise CapfixError(
            f"{path} cannot be read: {error.strerror or error}.", "Check the file."
        ) from error
    except DAMAGED as error:
        raise _damaged(path, error) from error


# What the readers of the standard library stumble with over damaged files; RecursionError and
# NotImplementedError are RuntimeErrors.
DAMAGED = (ValueError, EOFError, RuntimeError, OverflowError, MemoryError, struct.error, zlib.error)


def _damaged(path: Path, error: Exception) -> CapfixError:
    first = printable(" ".join(str(error).split()))[:160] or type(error).__name__
    return CapfixError(f"{path} is damaged: {first}.", "Copy or save it again.")


def _read(path: Path, file: IO[bytes], size: int) -> Content:
    head = file.read(512)
    file.seek(0)
    if not head:
        raise CapfixError(f"{path} is empty.", "Copy or save it again.")
    if head.startswith(NUMPY):
        raise _array(path, file)
    for magic, what, mend in FOREIGN:
        if head.startswith(magic):
            raise CapfixError(f"{path} is {what}, not a PyTorch checkpoint.", mend)
    if head[257:262] == b"ustar":
        raise CapfixError(
            f"{path} is a tar archive, not a PyTorch checkpoint.",
            "Unpack it and give the checkpoint inside.",
        )
    if head[8:9] == b"{":
        return read_tensor_file(path, file, size)
    if head[:2] == b"PK":
        return read_archive(path, file, size)
    if is_pickle(file):
        return _pickles(path, file, size)
    inner = _inflated(file, head)
    if inner is not None:
        return _pickles(path, io.BytesIO(inner), len(inner))
    pieces = read_pieces(path) if head.startswith(FIRST) else None
    if pieces:
        raise CapfixError(
            f"{path} has no tensors: it is a SentencePiece model of {len(pieces):,} pieces.",
            "It is a vocabulary: give it with --vocabulary, beside the checkpoint.",
        )
    what, mend = next(
        (told for suffix, told in _BY_SUFFIX.items() if path.name.lower().endswith(suffix)),
        ("", ""),
    )
    if what:  # by name alone: their first bytes are anything
        raise CapfixError(f"{path} is {what}, not a PyTorch checkpoint.", mend)
    raise CapfixError(f"{path} is not a checkpoint: {_guess(head)}.", "Give a PyTorch checkpoint.")


def _array(path: Path, file: IO[bytes]) -> CapfixError:
    """Say what an array is: features, of which a captioner reads many."""
    import numpy as np

    try:
        version = np.lib.format.read_magic(file)
        layout = np.lib.format
        first = version == (1, 0)
        header = layout.read_array_header_1_0 if first else layout.read_array_header_2_0
        shape, _, dtype = header(file)
    except ValueError:
        return CapfixError(
            f"{path} is a NumPy file whose header cannot be read.", "Copy or save it again."
        )
    kind = "records" if dtype.names else "objects" if dtype.hasobject else dtype.name
    return CapfixError(
        f"{path} is no checkpoint: it holds {list(shape)} {kind} features: give them with"
        " --features.",
        "Such as: capfix diagnose MODEL --features FOLDER (docs/features.md).",
    )


def _inflated(file: IO[bytes], head: bytes) -> bytes | None:
    """Unpack a pickle that joblib compressed; None for anything else.

    Raises:
        ValueError: it unpacks to more than any real pickle.
    """
    if not head.startswith(_ZLIB):
        return None
    file.seek(0)
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(file.read(LARGEST_PICKLE), LARGEST_PICKLE)
    except zlib.error:
        return None
    if unpacker.unconsumed_tail:
        raise ValueError(f"it unpacks to over {LARGEST_PICKLE} bytes")
    return data if data[:1] == b"\x80" else None


def is_compressed_pickle(path: Path) -> bool:
    """Say whether a file is what joblib writes with ``compress``.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(2)
        try:
            return _inflated(file, head) is not None
        except ValueError:
            return False


def _guess(head: bytes) -> str:
    if not any(head):
        return "it begins with nothing but zeros"
    try:
        first = head[:16].decode("utf-8").splitlines()[0]
    except (UnicodeDecodeError, IndexError):
        return f"it begins with the bytes {head[:4].hex(' ')}"
    if first.lstrip()[:1] in {"{", "["}:
        return "it is JSON; a vocabulary is given with --vocabulary"
    return f"it is a text file that begins with {first!r}"


def _pickles(path: Path, file: IO[bytes], size: int) -> Content:
    """Read the pickles that stand in a row: one, or the five of torch's old layout."""
    findings = UnpicklerFindings()
    source = bounded(file, size)
    first = read_pickle(source, findings)
    if first != LEGACY_MAGIC:
        return content_of("pickle", first, findings, {})
    protocol = read_pickle(source, findings)
    if protocol != LEGACY_PROTOCOL:
        raise ValueError(f"its protocol is {key_name(protocol)}")
    machine = read_pickle(source, findings)
    value = read_pickle(source, findings)
    big = isinstance(machine, Mapping) and machine.get("little_endian") is False
    places, whole = _legacy_places(path, source, findings, big)
    return content_of("torch-legacy", value, findings, places, whole=whole)


def _legacy_places(
    path: Path, file: BoundedFile, findings: UnpicklerFindings, big: bool
) -> tuple[dict[str, TensorPlace | None], bool]:
    """Find where the storages lie: after the pickle of their keys, each after its length.

    Returns:
        key -> place, and whether all were found: past a kind of number of unknown width none is.

    Raises:
        ValueError: a storage that does not lie in the file.
    """
    if not findings.storages:
        return {}, False
    keys: Any = read_pickle(file, findings)
    if not isinstance(keys, list) or not all(isinstance(key, str | int) for key in keys):
        raise ValueError("it has no list of its storages")
    places: dict[str, TensorPlace | None] = {}
    for key in map(str, keys):
        item = item_bytes(findings.storages.get(key, ""))
        if item is None:
            return places, False
        length = file.read(8)
        if len(length) < 8:
            raise ValueError(f"it ends before its storage {key[:40]!r}")
        (elements,) = struct.unpack(">q" if big else "<q", length)
        start = file.tell()
        if not 0 <= elements * item <= file.size - start:
            raise ValueError(
                f"its storage {key[:40]!r} claims {elements} elements with {file.size - start}"
                " bytes left"
            )
        places[key] = TensorPlace(path, start, elements * item, big)
        file.seek(start + elements * item)
    return places, True


def how_to_get(path: str) -> str:
    """Say what to give in place of a path that leads nowhere: a Hub's id is downloaded first."""
    if _HUB_ID.fullmatch(path) and not Path(path).parent.exists():
        name = Path(path).name
        return (
            f"If it is a model of the Hub: hf download {path} --local-dir {name}, then give {name}."
        )
    return "Give the path of a checkpoint file."
