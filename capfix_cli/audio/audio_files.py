"""Which audio files are clips, and how long they are."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import soundfile

from capfix_cli.audio.audio_sources import AudioSource, FoundFile, find_files
from capfix_cli.audio.converted_audio import (
    CONVERTED,
    NotConverted,
    can_convert,
    cannot_convert,
    stream_of,
)
from capfix_cli.schemas.clip_records import SkippedClip

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


def read_headers(
    source: str | Path, progress: Progress | None = None
) -> tuple[list[Clip], list[SkippedClip]]:
    """Read the header of every audio file of a folder or a list; no samples are decoded.

    Commands ask :func:`capfix_cli.audio.clip_set.open_clips`, which does so once.

    Args:
        source: as :func:`capfix_cli.audio.audio_sources.find_files` takes it.
        progress: called with files done and in all.

    Returns:
        The clips, by path, and the files whose header cannot be read or that hold no sample.

    Raises:
        CapfixError: nothing there, no audio in it, or only files that nothing here can decode.
    """
    found = find_files(source)
    _check_decoders(found)
    clips: list[Clip] = []
    skipped = list(found.absent)
    with ThreadPoolExecutor(WORKERS) as pool:
        for done, outcome in enumerate(pool.map(_header, found.files), 1):
            if isinstance(outcome, Clip):
                clips.append(outcome)
            else:
                skipped.append(outcome)
            if progress is not None:
                progress(done, len(found.files))
    return clips, skipped


def _check_decoders(found: AudioSource) -> None:
    """Refuse a source of which no file can be decoded on this machine.

    Raises:
        CapfixError: with the command that converts them.
    """
    needy = [file.path for file in found.files if is_converted(file.path)]
    if needy and len(needy) == len(found.files) and not can_convert():
        raise cannot_convert(found.label, needy)


def is_converted(path: Path) -> bool:
    """Say whether a file is decoded by ffmpeg or torchcodec rather than by soundfile."""
    return path.suffix.lower() in CONVERTED


def _header(file: FoundFile) -> Clip | SkippedClip:
    name, path = file.name, file.path
    try:
        if path.stat().st_size == 0:
            return SkippedClip(name, "empty file", "empty")
        if is_converted(path):
            stream = stream_of(path)
            return Clip(name, path, stream.seconds, stream.sample_rate)
        info = soundfile.info(os.fsencode(path))
    except NotConverted as error:
        return SkippedClip(name, str(error))
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
