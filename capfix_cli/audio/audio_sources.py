"""Which files are meant by ``--audio``: a folder, a file, a list of files, a pattern, or a pipe."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capfix_cli.audio.converted_audio import CONVERTED
from capfix_cli.captions.caption_layouts import IDS
from capfix_cli.captions.caption_rows import Row, decode_text, rows_of_text
from capfix_cli.captions.captions_file import printable
from capfix_cli.core.errors import CapfixError
from capfix_cli.schemas.clip_records import SkippedClip

# What libsndfile decodes by itself (its list of formats, version 1.2).
SOUNDFILE = (
    *(".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".aifc"),
    *(".au", ".snd", ".caf", ".w64", ".rf64"),
)
SUFFIXES = (*SOUNDFILE, *CONVERTED)
STANDARD_INPUT = "-"
PIPED = "standard input"  # what a set of clips is called that came through it
LISTS = (".txt", ".lst", ".list", ".m3u", ".scp", ".csv", ".tsv", ".json", ".jsonl", ".ndjson")
# Columns that hold paths of audio, before those that tell clips apart.
PATHS = (
    *("audio", "audio_path", "audio_filepath", "audio_file", "wav", "wav_path", "filepath"),
    *("file_path", "path", *IDS),
)
MOST_BYTES = 256 * 2**20  # of a list: millions of paths
TAKES = "Give a folder, a file, a list of files (text, CSV, JSONL), a pattern in quotes, or -."


@dataclass(frozen=True)
class FoundFile:
    """A file that is meant.

    Attributes:
        name: with forward slashes, relative to the folder that all files share.
        path: where it is.
    """

    name: str
    path: Path


@dataclass(frozen=True)
class AudioSource:
    """The files that a source names.

    Attributes:
        label: the source as it was given, for messages.
        files: by path, each once.
        absent: names in a list that are of no file.
    """

    label: str
    files: tuple[FoundFile, ...]
    absent: tuple[SkippedClip, ...] = ()


def find_files(source: str | Path) -> AudioSource:
    """Find the audio files that a source names.

    Args:
        source: a folder, searched with the folders in it; one audio file; a file that lists
            paths, one a line, or in a column of a CSV, TSV, JSON lines or JSON file; a pattern
            such as ``clips/**/*.wav``; or ``-`` for a list on standard input. Paths of a list are
            relative to its folder, else to the working folder.

    Raises:
        CapfixError: nothing there, or no audio in it; the message says what was found instead.
    """
    text = os.fspath(source)
    if not text.strip():
        raise CapfixError(
            "--audio is empty: was a variable of the shell not set?", "Give a folder of clips."
        )
    path = Path(text)
    if path.is_dir():
        return _of_folder(path)
    if path.suffix.lower() in SUFFIXES and path.is_file():
        return AudioSource(text, (FoundFile(path.name, path),))
    if text == STANDARD_INPUT:
        return _of_list(PIPED, _piped(), Path())
    if path.exists():
        return _of_list(text, _read_list(path), path.parent)
    if glob.has_magic(text):
        return _of_pattern(text)
    raise CapfixError(f"The audio folder {printable(text)} is not there.", TAKES)


def _of_folder(folder: Path) -> AudioSource:
    """Find the audio files of a folder and of the folders in it.

    Hidden files are left out, and what needs converting where the same clip lies beside it ready:
    data sets keep a video and its sound under one name.
    """
    found: list[Path] = []
    others: set[str] = set()
    for place, names in walk_folders(folder):
        for name in names:
            suffix = Path(name).suffix.lower()
            if name.startswith("."):
                continue
            if suffix in SUFFIXES:
                found.append(Path(place, name))
            elif suffix:
                others.add(suffix)
    if not found:
        kinds = ", ".join(sorted(others)[:5])
        held = f" It has files of {printable(kinds)}." if others else ""
        arrays = " Features go in with --features." if others & {".npy", ".npz", ".pt"} else ""
        raise CapfixError(
            f"The folder {printable(str(folder))} has no audio files.{held}",
            f"capfix reads {_kinds(SOUNDFILE)}, in subfolders too, and with ffmpeg"
            f" {_kinds(CONVERTED)}.{arrays}",
        )
    ready = {path.with_suffix("") for path in found if path.suffix.lower() in SOUNDFILE}
    kept = [
        p for p in sorted(found) if p.suffix.lower() in SOUNDFILE or p.with_suffix("") not in ready
    ]
    files = [FoundFile(path.relative_to(folder).as_posix(), path) for path in kept]
    return AudioSource(str(folder), tuple(files))


def _kinds(suffixes: Sequence[str]) -> str:
    return ", ".join(suffix[1:].upper() for suffix in suffixes[:8])


def walk_folders(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Go through a folder, every real folder once, however links lead to it.

    Folders are gone through before links to folders, so that a link to a neighbour or to a folder
    above takes nobody's name.
    """
    seen: set[tuple[int, int]] = set()
    waiting = [str(folder)]
    while waiting:
        links: list[str] = []
        for start in waiting:
            for place, folders, names in os.walk(start):
                if not _first_time(place, seen):
                    folders.clear()
                    continue
                folders.sort()
                links += [str(p) for f in folders if (p := Path(place, f)).is_symlink()]
                yield place, names
        waiting = links


def _first_time(place: str, seen: set[tuple[int, int]]) -> bool:
    try:
        about = Path(place).stat()
    except OSError:
        return False
    key = about.st_dev, about.st_ino
    new = key not in seen
    seen.add(key)
    return new


def _of_pattern(pattern: str) -> AudioSource:
    paths = [Path(found) for found in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207 - the pattern may start at the root
    audio = [path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file()]
    if not audio:
        what = f"matches {len(paths)} files, none of them audio" if paths else "matches no file"
        raise CapfixError(f"The pattern {printable(pattern)} {what}.", TAKES)
    return AudioSource(pattern, tuple(_named(audio)))


def _named(paths: Sequence[Path]) -> list[FoundFile]:
    """Name files by their path in the folder that all of them share."""
    whole = [path.absolute() for path in paths]
    shared = os.path.commonpath([path.parent for path in whole])
    names = [Path(os.path.relpath(path, shared)).as_posix() for path in whole]
    return [FoundFile(name, path) for name, path in zip(names, paths, strict=True)]


def _piped() -> str:
    if sys.stdin.isatty():
        raise CapfixError(
            "--audio - reads paths from standard input, and nothing is piped into it.",
            "Such as: find clips -name '*.wav' | capfix diagnose MODEL --audio -",
        )
    return decode_text(PIPED, sys.stdin.buffer.read(MOST_BYTES), [])


def _read_list(path: Path) -> str:
    suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if suffix.lower() not in LISTS:
        kind = f"a {suffix[1:].upper()} file" if suffix else "a file"
        arrays = " Features go in with --features." if suffix in {".npy", ".npz", ".pt"} else ""
        raise CapfixError(
            f"{printable(str(path))} is {kind}, neither audio nor a list of audio.{arrays}", TAKES
        )
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES)
    except OSError as error:
        raise CapfixError(
            f"{printable(str(path))} cannot be read: {error.strerror}.", TAKES
        ) from error
    return decode_text(str(path), data, [])


def _of_list(label: str, text: str, folder: Path) -> AudioSource:
    """Find the files that a list names, each once, in the order of their paths."""
    entries = list(dict.fromkeys(_entries(label, text)))
    if not entries:
        raise CapfixError(f"{printable(label)} names no audio file.", TAKES)
    there: dict[Path, Path] = {}
    absent = []
    for entry in entries:
        path = _place(entry, folder)
        if path is None:
            absent.append(SkippedClip(entry, "not there, or not a file"))
        else:
            there.setdefault(path.absolute(), path)
    if not there:
        raise CapfixError(
            f"None of the {len(entries)} files that {printable(label)} names is there"
            f" ({printable(entries[0])}).",
            "Paths in a list are relative to the list's folder, else to the working folder.",
        )
    return AudioSource(label, tuple(_named([there[key] for key in sorted(there)])), tuple(absent))


def _place(entry: str, folder: Path) -> Path | None:
    # Lists such as Kaldi's wav.scp have a key before the path.
    for text in dict.fromkeys([entry, entry.split(maxsplit=1)[-1]]):
        for path in (folder / text, Path(text)):
            if path.is_file():
                return path
    return None


def _entries(label: str, text: str) -> Iterator[str]:
    """Give the paths that a list holds: one a line, or a column of a table."""
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if lines and sum(_is_audio(line) for line in lines) > len(lines) / 2:
        yield from (line.strip("\"'") for line in lines)
        return
    if not lines:
        return
    if not text.lstrip().startswith(("{", "[")) and not any(_has_audio(line) for line in lines):
        raise CapfixError(
            f"{printable(label)} names no audio: its first line is {printable(lines[0])[:60]!r}.",
            "A list has the path of an audio file a line, or in a column of a CSV file.",
        )
    rows, _ = rows_of_text(label, text, [])
    column = _column(label, rows)
    yield from (found for row in rows if (found := _path_in(row.get(column))))


def _column(label: str, rows: Sequence[Row]) -> str:
    """Choose the column of paths: of usual names the first, else any, that holds audio files."""
    names = list(dict.fromkeys(name for row in rows[:100] for name in row))
    usual = sorted(
        names, key=lambda name: PATHS.index(name.lower()) if name.lower() in PATHS else len(PATHS)
    )
    for name in usual:
        values = [value for row in rows[:100] if (value := _path_in(row.get(name)))]
        if values and sum(map(_is_audio, values)) > len(values) / 2:
            return name
    raise CapfixError(
        f"{printable(label)} has no column with paths of audio files; it has"
        f" {printable(', '.join(names[:6]))}.",
        "Name the files with their suffix, such as clips/rain.wav.",
    )


def _path_in(value: Any) -> str:
    """Give the path in a cell: text, or an object that holds one, as data sets of files have."""
    if isinstance(value, dict):
        value = value.get("path") or value.get("file") or value.get("url")
    return value.strip() if isinstance(value, str) else ""


def _is_audio(text: str) -> bool:
    return text.strip("\"' ").lower().endswith(SUFFIXES)


def _has_audio(line: str) -> bool:
    return any(suffix in line.lower() for suffix in SUFFIXES)
