"""Whose fault an exception is: the captioner's, which is anybody's code, or capfix's own."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent
_CAPTIONERS = _PACKAGE / "captioners"
_LIBRARIES = tuple(
    Path(path).resolve()
    for name in ("stdlib", "platstdlib", "purelib", "platlib")
    if (path := sysconfig.get_path(name))
)


def captioner_frame(error: BaseException) -> traceback.FrameSummary | None:
    """Give the innermost frame of the captioner's code that an exception went through.

    The captioner's code is what stands under ``capfix_cli.captioners``, and every file that belongs
    neither to capfix nor to an installed library: an adapter, or the user's network.

    Returns:
        None where no such frame is in the traceback: then the error is capfix's own.
    """
    found = None
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        if not path.exists():  # "<string>", "<frozen ...>": compiled on the way
            continue
        path = path.resolve()
        if _is_captioners(path):
            found = frame
    return found


def _is_captioners(path: Path) -> bool:
    if path.is_relative_to(_PACKAGE):
        return path.is_relative_to(_CAPTIONERS)
    return not any(path.is_relative_to(library) for library in _LIBRARIES)


def probe_failure(error: Exception) -> str | None:
    """Say in words that a probe failed in the captioner's code; None where it is capfix's fault."""
    frame = captioner_frame(error)
    if frame is None:
        return None
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return f"the probe failed with {text:.120} ({Path(frame.filename).name}:{frame.lineno})"
