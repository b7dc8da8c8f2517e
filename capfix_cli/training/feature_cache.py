"""Features on disk: computed once, found again by the clip's bytes and the front end.

One ``.npy`` a clip under ``.capfix/cache/features/<front end>/<digest>.npy``. A file appears
under its name only when it is whole, so a training killed at any moment leaves nothing broken; one
that is damaged all the same is computed anew.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from capfix_cli.core.errors import CapfixError
from capfix_cli.core.files import whole_file, write_text

CACHE = Path(".capfix") / "cache" / "features"
IN_MEMORY = 2**30  # bytes of features kept in memory, 1 GiB; more is read from disk when asked for


def file_digest(path: Path) -> str:
    """Name a file by its bytes.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


class Digests:
    """Digests of files seen before, by path, size and time of change: no file is read twice.

    Args:
        root: the folder whose ``.capfix`` holds the cache.
    """

    def __init__(self, root: Path) -> None:
        self.file = root / CACHE / "digests.json"
        try:
            self._known: dict[str, list[Any]] = json.loads(self.file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self._known = {}
        self._changed = False

    def of(self, path: Path) -> str:
        """Give a file's digest.

        Raises:
            OSError: it cannot be read.
        """
        status = path.stat()
        stamp = [status.st_size, status.st_mtime_ns]
        name = os.fsencode(path.absolute()).hex()  # a file's name need not be text
        held = self._known.get(name)
        if held is None or held[:2] != stamp:
            held = [*stamp, file_digest(path)]
            self._known[name] = held
            self._changed = True
        return str(held[2])

    def save(self) -> None:
        """Keep what was learnt; without it the next run reads the files again, no more."""
        if not self._changed:
            return
        with contextlib.suppress(OSError):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            write_text(self.file, json.dumps(self._known))


class FeatureCache:
    """The features of one front end.

    Args:
        root: the folder whose ``.capfix`` holds the cache.
        settings: everything that decides the features, as plain values.
    """

    def __init__(self, root: Path, settings: Any) -> None:
        text = json.dumps(settings, sort_keys=True)
        key = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        self.folder = root / CACHE / key
        self.settings = text

    def path(self, digest: str, variant: str = "") -> Path:
        """Where a clip's features are."""
        return self.folder / f"{digest}{'-' + variant if variant else ''}.npy"

    def get(self, path: Path) -> Tensor | None:
        """Read features; None where there are none, or where the file is damaged."""
        try:
            found = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return torch.from_numpy(np.array(found)) if found.ndim == 2 else None

    def has(self, path: Path) -> bool:
        """Say whether whole features are there; nothing but the header is read."""
        try:
            return bool(np.load(path, mmap_mode="r", allow_pickle=False).ndim == 2)
        except (OSError, ValueError, EOFError):
            return False

    def put(self, path: Path, frames: Tensor) -> None:
        """Write features whole or not at all.

        Raises:
            CapfixError: the disk is full, or the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            note = self.folder / "settings.json"
            if not note.exists():
                write_text(note, self.settings + "\n")
            with whole_file(path) as part, Path(part).open("wb") as file:
                np.save(file, frames.numpy(), allow_pickle=False)
        except OSError as error:
            raise disk_error(error, f"The feature cache {self.folder}") from error

    def size(self) -> int:
        """Bytes on disk."""
        return sum(path.stat().st_size for path in self.folder.glob("*.npy"))


def disk_error(error: OSError, what: str) -> CapfixError:
    """Say in plain words why something cannot be written."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return CapfixError(
            f"{what} cannot be written: the disk is full.",
            "Free some space and run the same command again: it goes on where it stopped.",
        )
    return CapfixError(
        f"{what} cannot be written: {error.strerror or error}.", "Check the folder's permissions."
    )


class Features(Sequence[Tensor]):
    """[frames, bands] float16 of every clip: in memory where they fit, else read when asked for."""

    def __init__(self, cache: FeatureCache, paths: Sequence[Path], most: int = IN_MEMORY) -> None:
        self.cache = cache
        self.paths = list(paths)
        total = sum(path.stat().st_size for path in self.paths)
        self._held: list[Tensor] | None = None
        if total <= most:
            self._held = [self._read(path) for path in self.paths]

    def _read(self, path: Path) -> Tensor:
        found = self.cache.get(path)
        if found is None:
            raise CapfixError(
                f"{path} is gone or damaged since training began.",
                "Run the same command again: it is computed anew.",
            )
        return found

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        return self._held[index] if self._held is not None else self._read(self.paths[index])
