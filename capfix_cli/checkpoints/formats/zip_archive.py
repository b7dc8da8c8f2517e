"""The layout that torch.save has written since 1.6: a zip archive, a pickle, an entry a storage."""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, cast

from capfix_cli.checkpoints.formats.checkpoint_content import Content, content_of, printable
from capfix_cli.checkpoints.formats.tensor_info import TensorPlace
from capfix_cli.checkpoints.safe_pickle.reader_limits import LARGEST_PICKLE, BoundedFile
from capfix_cli.checkpoints.safe_pickle.safe_unpickler import (
    UnpicklerFindings,
    bounded,
    read_pickle,
)
from capfix_cli.core.errors import CapfixError

LARGEST_DIRECTORY = 16 * 2**20  # bytes; an entry takes some 80, so 200,000 entries
LARGEST_HIDING = 2**20  # bytes; pickles hide in small tensors of bytes, large ones hold weights
LOCAL_HEADER = 30  # bytes before an entry's name, by the zip format
SIGNATURE = b"PK\x03\x04"


def read_archive(path: Path, file: IO[bytes], size: int) -> Content:
    """Read the pickle of an archive, and where each storage lies in the file.

    Raises:
        CapfixError: encrypted, or an archive of something else.
        ValueError, zipfile.BadZipFile, NotImplementedError, zlib.error: damaged, or it claims more
            than it holds.
    """
    # Reading one entry as it lies asks for no more than its data; only the directory is larger.
    whole = BoundedFile(file, size, max(LARGEST_DIRECTORY, LARGEST_PICKLE))
    _check_directory(file, size)
    with zipfile.ZipFile(cast(IO[bytes], whole)) as archive:
        entries = archive.infolist()
        names = [entry.filename for entry in entries]
        if any(entry.flag_bits & 1 for entry in entries):
            raise CapfixError(f"{path} is encrypted.", "Decrypt it first.")
        if len(set(names)) < len(names):
            raise ValueError("several of its entries have one name")
        if any("/code/" in f"/{name}" for name in names):
            return Content(
                "torchscript",
                refused="it is a TorchScript program: its code would run, and was not",
                imports=sorted({printable(name) for name in names if name.endswith(".py")}),
            )
        pickles = _pickles(archive, entries, size)
        main = [entry for entry in pickles if entry.filename.endswith("data.pkl")]
        if len(main) != 1:
            _name_foreign(path, names)
            found = "several data.pkl" if main else "no data.pkl"
            raise CapfixError(
                f"{path} is a zip archive that torch.save did not write: it has {found}.",
                "Give the checkpoint inside it.",
            )
        findings = UnpicklerFindings()
        value: Any = None
        for entry in pickles:
            data = _data(archive, entry, LARGEST_PICKLE)
            part = read_pickle(bounded(io.BytesIO(data), len(data)), findings)
            if entry is main[0]:
                value = part
        prefix = main[0].filename.removesuffix("data.pkl")
        places = _places(path, file, size, archive, prefix)
        hidden = [entry.filename for entry in pickles if entry not in main]
    content = content_of("torch", value, findings, places, whole=True)
    if hidden and content.refused is None:
        content.refused = f"it hides a pickle in {printable(hidden[0])}"
    return content


def _check_directory(file: IO[bytes], size: int) -> None:
    """Hold the directory to a size before the standard library reads it whole into memory.

    Raises:
        ValueError: larger than that of any real checkpoint.
    """
    tail = min(size, 22 + 2**16)  # the end record, and the longest comment after it
    file.seek(size - tail)
    data = file.read(tail)
    found = data.rfind(b"PK\x05\x06")
    if found < 0 or found + 22 > len(data):
        return  # the library says what is wrong with it
    (claimed,) = struct.unpack_from("<L", data, found + 12)
    large = data.rfind(b"PK\x06\x06", 0, found)  # what zip64 archives say instead
    if claimed == 2**32 - 1 and large >= 0 and large + 48 <= len(data):
        (claimed,) = struct.unpack_from("<Q", data, large + 40)
    if claimed > LARGEST_DIRECTORY:
        raise ValueError(f"its directory claims {claimed} bytes")


def _data(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limit: int) -> bytes:
    """Read an entry, whatever a compressed one would swell to.

    Raises:
        ValueError: it claims more than a limit, or holds less than it claims.
    """
    _check_size(entry, limit)
    with archive.open(entry) as part:
        data = part.read(entry.file_size)
    if len(data) < entry.file_size:
        raise ValueError(f"it ends within {printable(entry.filename)[:80]}")
    return data


def _check_size(entry: zipfile.ZipInfo, limit: int) -> None:
    if entry.file_size > limit:
        raise ValueError(f"{printable(entry.filename)[:80]} claims {entry.file_size} bytes")


def _pickles(
    archive: zipfile.ZipFile, entries: Sequence[zipfile.ZipInfo], size: int
) -> list[zipfile.ZipInfo]:
    """Find the pickles by their names, or by their first and last bytes.

    Raises:
        ValueError: entries that hold more than the archive is large.
    """
    found = []
    looked_at = 0
    for entry in entries:
        named = entry.filename.endswith((".pkl", ".pickle"))
        if named:
            _check_size(entry, LARGEST_PICKLE)
        if named or 4 <= entry.file_size <= LARGEST_HIDING:
            looked_at += entry.file_size
        if looked_at > max(size, LARGEST_PICKLE):
            raise ValueError("its entries hold more than the archive is large")
        if named or _hides_pickle(archive, entry):
            found.append(entry)
    return found


def _hides_pickle(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bool:
    if not 4 <= entry.file_size <= LARGEST_HIDING:
        return False
    data = _data(archive, entry, LARGEST_HIDING)
    if data[:1] != b"\x80" or data[1] > pickle.HIGHEST_PROTOCOL:
        return False
    try:  # numbers may begin like a pickle, but do not parse as one to its end
        return any(opcode.name == "STOP" for opcode, _, _ in pickletools.genops(data))
    except Exception:  # whatever the parser stumbles over: then it is no pickle
        return False


def _places(
    path: Path, file: IO[bytes], size: int, archive: zipfile.ZipFile, prefix: str
) -> dict[str, TensorPlace | None]:
    """Find where each storage's bytes lie; None where they are compressed.

    Raises:
        ValueError: an entry that does not lie in the file.
    """
    order = next((e for e in archive.infolist() if e.filename == f"{prefix}byteorder"), None)
    big = order is not None and _data(archive, order, 16) == b"big"
    places: dict[str, TensorPlace | None] = {}
    for entry in archive.infolist():
        key = entry.filename.removeprefix(f"{prefix}data/")
        if key == entry.filename:
            continue
        if entry.compress_type != zipfile.ZIP_STORED:
            places[key] = None
            continue
        file.seek(entry.header_offset)
        header = file.read(LOCAL_HEADER)
        if len(header) < LOCAL_HEADER or not header.startswith(SIGNATURE):
            raise ValueError(f"{printable(entry.filename)[:80]} is not where it should be")
        name, extra = struct.unpack("<HH", header[26:30])
        start = entry.header_offset + LOCAL_HEADER + name + extra
        if start + entry.file_size > size:
            raise ValueError(f"it ends within {printable(entry.filename)[:80]}")
        places[key] = TensorPlace(path, start, entry.file_size, big)
    return places


def _name_foreign(path: Path, names: Sequence[str]) -> None:
    """Refuse archives of other programs by what they are.

    Raises:
        CapfixError: it is one.
    """
    if "model.weights.h5" in names:
        raise CapfixError(
            f"{path} is a Keras model, not a PyTorch checkpoint.", "Convert its weights first."
        )
    if names and all(name.endswith(".npy") for name in names):
        raise CapfixError(
            f"{path} is a NumPy archive, not a PyTorch checkpoint.",
            "Give the checkpoint of the whole model.",
        )
