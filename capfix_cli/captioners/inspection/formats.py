"""What kind of file a checkpoint is, and its content as far as that is readable without code."""

from __future__ import annotations

import io
import json
import pickle
import pickletools
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from capfix_cli.captioners.inspection.inert import LARGEST_PICKLE, Findings, read_pickle
from capfix_cli.captioners.inspection.tensors import TensorInfo, dtype_of_safetensors
from capfix_cli.errors import CapfixError

LARGEST_HEADER = 100 * 2**20  # bytes of a safetensors header, the limit of the format's own reader
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # torch.save before 1.6 opens with this number
# Suffix or first bytes -> what the file is and what to do with it.
FOREIGN = (
    (b"\x89HDF\r\n\x1a\n", "a Keras (HDF5) file", "Convert its weights to PyTorch first."),
    (b"\x08\x07\x12", "an ONNX file", "Give the PyTorch checkpoint that it was exported from."),
    (b"\x08\x08\x12", "an ONNX file", "Give the PyTorch checkpoint that it was exported from."),
    (b"GGUF", "a GGUF file", "Give the checkpoint that it was converted from."),
    (b"\x1f\x8b", "a gzip archive", "Unpack it and give the checkpoint inside."),
    (b"BZh", "a bzip2 archive", "Unpack it and give the checkpoint inside."),
    (b"\xfd7zXZ", "an xz archive", "Unpack it and give the checkpoint inside."),
    (b"7z\xbc\xaf", "a 7z archive", "Unpack it and give the checkpoint inside."),
    (b"%PDF", "a PDF file", "Give a checkpoint."),
    (b"\x93NUMPY", "a NumPy array", "Give the checkpoint of the whole model."),
    (b"RIFF", "an audio or video file", "Give it to --audio, in a folder."),
)


@dataclass
class Content:
    """What a file holds.

    Attributes:
        format: ``torch``, ``torch-legacy``, ``torchscript``, ``safetensors`` or ``pickle``.
        value: nested dicts, lists, tensors described and plain values; None for a program.
        tensors: name -> description, names being dotted places.
        imports: globals that the file names.
        refused: why it must not be loaded; None where nothing speaks against it.
    """

    format: str
    value: Any = None
    tensors: dict[str, TensorInfo] = field(default_factory=dict)
    imports: list[str] = field(default_factory=list)
    refused: str | None = None


def read_content(path: Path) -> Content:
    """Read a checkpoint's structure; tensors are described, not read.

    Raises:
        CapfixError: missing, damaged, or no checkpoint; the message says what it is.
    """
    if not path.exists():
        raise CapfixError(f"There is no file {path}.", "Give the path of a checkpoint.")
    if path.is_dir():
        raise CapfixError(f"{path} is a folder.", "Give the checkpoint file inside it.")
    try:
        with path.open("rb") as file:
            return _read(path, file)
    except CapfixError:
        raise
    except OSError as error:
        raise CapfixError(
            f"{path} cannot be read: {error.strerror or error}.", "Check the file."
        ) from error
    except (ValueError, struct.error, zipfile.BadZipFile, NotImplementedError) as error:
        first = " ".join(str(error).split())[:160]
        raise CapfixError(f"{path} is damaged: {first}.", "Copy or save it again.") from error


def _read(path: Path, file: IO[bytes]) -> Content:
    head = file.read(16)
    file.seek(0)
    if not head:
        raise CapfixError(f"{path} is empty.", "Copy or save it again.")
    for magic, what, mend in FOREIGN:
        if head.startswith(magic):
            raise CapfixError(f"{path} is {what}, not a PyTorch checkpoint.", mend)
    if head[8:9] == b"{":
        return _safetensors(file)
    if head[:2] == b"PK":
        return _zip(path, file)
    if head[:1] == b"\x80":
        return _pickles(file)
    raise CapfixError(f"{path} is not a checkpoint: {_guess(head)}.", "Give a PyTorch checkpoint.")


def _guess(head: bytes) -> str:
    try:
        first = head.decode("utf-8").splitlines()[0]
    except (UnicodeDecodeError, IndexError):
        return f"it begins with the bytes {head[:4].hex(' ')}"
    return f"it is a text file that begins with {first!r}"


def _safetensors(file: IO[bytes]) -> Content:
    (size,) = struct.unpack("<Q", file.read(8))
    if size > LARGEST_HEADER:
        raise ValueError(f"its header claims {size} bytes")
    text = file.read(size)
    if len(text) < size:
        raise ValueError("it ends within its header")
    try:
        header = json.loads(text)
    except (RecursionError, ValueError) as error:
        raise ValueError("its header is not JSON") from error
    if not isinstance(header, dict):
        raise TypeError("its header is no mapping")
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, row in header.items():
        shape = row.get("shape") if isinstance(row, dict) else None
        if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
            raise ValueError(f"its tensor {name!r:.60} has no shape")
        dtype = dtype_of_safetensors(str(row.get("dtype")))
        tensors[str(name)] = TensorInfo(
            str(name), tuple(shape), dtype, str(row.get("data_offsets"))
        )
    value: dict[str, Any] = {"state_dict": tensors}
    if isinstance(metadata, dict):
        value |= {str(key): _json(item) for key, item in metadata.items()}
    return Content("safetensors", value, tensors)


def _json(value: Any) -> Any:
    try:
        return json.loads(value)
    except (TypeError, ValueError, RecursionError):
        return value


def _zip(path: Path, file: IO[bytes]) -> Content:
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        names = [entry.filename for entry in entries]
        if any(entry.flag_bits & 1 for entry in entries):
            raise CapfixError(f"{path} is encrypted.", "Decrypt it first.")
        if any("/code/" in f"/{name}" for name in names):
            return Content(
                "torchscript",
                refused="it is a TorchScript program: its code would run, and was not",
                imports=sorted({name for name in names if name.endswith(".py")}),
            )
        pickles = [entry for entry in entries if _is_pickle(archive, entry)]
        main = [entry for entry in pickles if entry.filename.endswith("data.pkl")]
        if len(main) != 1:
            found = "several data.pkl" if main else "no data.pkl"
            raise CapfixError(
                f"{path} is a zip archive that torch.save did not write: it has {found}.",
                "Give the checkpoint inside it.",
            )
        findings = Findings()
        value: Any = None
        for entry in pickles:
            if entry.file_size > LARGEST_PICKLE:
                raise ValueError(f"{entry.filename} claims {entry.file_size} bytes")
            part = read_pickle(io.BytesIO(archive.read(entry)), findings)
            if entry is main[0]:
                value = part
        hidden = [entry.filename for entry in pickles if entry not in main]
    content = _content("torch", value, findings)
    if hidden and content.refused is None:
        content.refused = f"it hides a pickle in {hidden[0]}"
    return content


def _is_pickle(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bool:
    """Say whether an entry is a pickle by its name, or by its first and last bytes."""
    if entry.filename.endswith((".pkl", ".pickle")):
        return True
    if entry.file_size > 2**20 or entry.file_size < 4:
        return False  # the data of a large tensor; pickles hide in small ones of bytes
    data = archive.read(entry)
    if data[:1] != b"\x80" or data[1] > pickle.HIGHEST_PROTOCOL:
        return False
    try:  # numbers may begin like a pickle, but do not parse as one to its end
        return any(opcode.name == "STOP" for opcode, _, _ in pickletools.genops(data))
    except Exception:  # whatever the parser stumbles over: then it is no pickle
        return False


def _pickles(file: IO[bytes]) -> Content:
    """Read the pickles that stand in a row: one, or the five of torch's old layout."""
    findings = Findings()
    first = read_pickle(file, findings)
    if first != LEGACY_MAGIC:
        return _content("pickle", first, findings)
    value = None
    for part in range(3):  # protocol, machine, then the object itself
        value = read_pickle(file, findings)
        if part == 0 and value != 1001:
            raise ValueError(f"its protocol is {value!r:.20}")
    return _content("torch-legacy", value, findings)


def _content(format_: str, value: Any, findings: Findings) -> Content:
    tensors: dict[str, TensorInfo] = {}
    _name(value, "", tensors, 0)
    refused = None
    if findings.reaches_for:
        refused = f"it reaches for {', '.join(findings.reaches_for[:5])}"
    return Content(format_, value, tensors, findings.imports, refused)


DEEPEST = 24  # levels of nesting that are searched for tensors


def _name(value: Any, place: str, found: dict[str, TensorInfo], depth: int) -> None:
    """Name every tensor by its dotted place."""
    if depth > DEEPEST:
        return
    if isinstance(value, TensorInfo):
        found[place] = TensorInfo(place, value.shape, value.dtype, value.storage, value.offset)
        return
    inner: Any = ()
    if isinstance(value, Mapping):
        inner = value.items()
    elif isinstance(value, list | tuple) and len(value) < 10_000:
        inner = enumerate(value)
    elif hasattr(value, "state") and isinstance(value.state, Mapping):
        inner = value.state.items()  # a whole pickled module: parameters by submodule
    for key, item in inner:
        if key == "_flat_weights":  # a recurrent module's second list of its own parameters
            continue
        if isinstance(item, TensorInfo | Mapping | list | tuple) or hasattr(item, "state"):
            name = str(key)
            # Modules keep these between their name and their parameters' names.
            skipped = name in {"_parameters", "_buffers", "_modules"}
            _name(item, place if skipped else f"{place}.{name}".strip("."), found, depth + 1)
