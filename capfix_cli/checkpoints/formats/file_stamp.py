"""Whether a file is still the one that it was, without reading it."""

from __future__ import annotations

import os
from pathlib import Path


def stamp_of(path: str | os.PathLike[str] | None) -> str:
    """Give a file's place, size and time of change; its place alone where it is none.

    Args:
        path: of a file or folder, or None.
    """
    if path is None:
        return ""
    place = Path(path)
    try:
        known = place.stat()
    except OSError:
        return str(path)
    return f"{place.resolve()} {known.st_size} {known.st_mtime_ns}"
