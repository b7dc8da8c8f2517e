"""Which files of a folder are clips, and how long they are."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import soundfile

from capfix_cli.core.errors import CapfixError
from capfix_cli.schemas.clip_records import SkippedClip

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
WORKERS = 4  # headers are read faster than disks answer one by one

Progress = Callable[[int, int], None]  # done, in all


@dataclass(frozen=True)
class Clip:
    """One audio file whose header could be read.

    Attributes:
        name: path relative to the folder, with forward slashes.
        path: where it is.
        seconds: its length by its header.
        sample_rate: Hz.
    """

    name: str
    path: Path
    seconds: float
    sample_rate: int


def list_files(folder: str | Path) -> list[Path]:
    """Find the audio files of a folder and of the folders in it, links followed.

    Returns:
        Paths that begin with the folder as it was given, sorted; hidden files are left out.

    Raises:
        CapfixError: no such folder, or no audio file in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "is not there"
        raise CapfixError(f"The audio folder {folder} {what}.", "Give a folder of clips.")
    found = [
        Path(place, name)
        for place, _, names in os.walk(folder, followlinks=True)
        for name in names
        if name.lower().endswith(SUFFIXES) and not name.startswith(".")
    ]
    if not found:
        kinds = ", ".join(suffix[1:].upper() for suffix in SUFFIXES)
        raise CapfixError(
            f"The folder {folder} has no audio files.", f"capfix reads {kinds}, in subfolders too."
        )
    return sorted(found)


def read_headers(
    folder: str | Path, progress: Progress | None = None
) -> tuple[list[Clip], list[SkippedClip]]:
    """Read the header of every audio file of a folder; no samples are decoded.

    Commands ask :func:`capfix_cli.audio.clip_set.open_clips`, which does so once.

    Args:
        folder: of the files.
        progress: called with files done and in all.

    Returns:
        The clips, by path, and the files whose header cannot be read or that hold no sample.

    Raises:
        CapfixError: no such folder, or no audio file in it.
    """
    files = list_files(folder)
    clips: list[Clip] = []
    skipped: list[SkippedClip] = []
    with ThreadPoolExecutor(WORKERS) as pool:
        for done, outcome in enumerate(pool.map(lambda path: _header(path, folder), files), 1):
            if isinstance(outcome, Clip):
                clips.append(outcome)
            else:
                skipped.append(outcome)
            if progress is not None:
                progress(done, len(files))
    return clips, skipped


def _header(path: Path, folder: str | Path) -> Clip | SkippedClip:
    name = path.relative_to(folder).as_posix()
    try:
        if path.stat().st_size == 0:
            return SkippedClip(name, "empty file", "empty")
        info = soundfile.info(os.fsencode(path))
    except (OSError, RuntimeError) as error:  # soundfile's own errors are RuntimeErrors
        return SkippedClip(name, unreadable(error))
    if info.frames == 0:
        return SkippedClip(name, "empty: no samples", "empty")
    return Clip(name, path, info.frames / info.samplerate, info.samplerate)


def unreadable(error: Exception) -> str:
    """Say in one line why a file cannot be read.

    Args:
        error: of soundfile or of the system.

    Returns:
        Words that open with "unreadable: ".
    """
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return f"unreadable: {' '.join(str(text).split()).rstrip('.')}"
