"""Files that are whole or not there: written beside their place, then moved to it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def whole_file(path: str | Path) -> Iterator[str]:
    """Give a name beside a file's place to write to; it takes the place once all is written.

    Where writing fails nothing is left behind, and what stood there stays.

    Args:
        path: where the file is to stand, in a folder that is there.

    Yields:
        The name to write to, in the same folder.

    Raises:
        OSError: there is no such folder, it cannot be written, or the disk is full.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with whole_file(f"{folder}/new.txt") as part:
    ...         _ = Path(part).write_text("all of it")
    ...     [path.name for path in Path(folder).iterdir()]
    ['new.txt']
    """
    path = Path(path)
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        yield part
        Path(part).chmod(0o666 & ~umask())  # mkstemp lets nobody else read it
        Path(part).replace(path)
    finally:
        with suppress(OSError):
            Path(part).unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text in UTF-8, whole or not at all.

    Raises:
        OSError: there is no such folder, it cannot be written, or the disk is full.
    """
    with whole_file(path) as part:
        Path(part).write_text(text, encoding="utf-8")


def umask() -> int:
    """Give the permissions that new files are made without."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
