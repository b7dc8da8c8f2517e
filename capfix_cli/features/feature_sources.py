"""Where features are: a folder of files, files of many clips, two trees of the same clips."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from capfix_cli.audio.audio_sources import walk_folders
from capfix_cli.captions.caption_layouts import IDS
from capfix_cli.captions.caption_rows import Row, read_rows
from capfix_cli.captions.captions_file import printable
from capfix_cli.core.errors import CapfixError
from capfix_cli.features.array_files import (
    HDF5,
    NPY,
    SUFFIXES,
    is_feature_file,
    open_hdf5,
    read_value,
)
from capfix_cli.features.array_pickle import npy_header, read_npy
from capfix_cli.features.feature_entries import (
    Arrays,
    Entry,
    Field,
    NoFeatures,
    record_entry,
)
from capfix_cli.features.many_clips import entries_of_file
from capfix_cli.schemas.clip_records import SkippedClip

Progress = Callable[[int, int], None]

FEW_FILES = 19  # of a folder, that may hold many clips each; a verdict needs 20 clips
SAME_KEYS = 0.9  # of the keys of two trees, from where on they are of the same clips
SPLITS = {
    *("train", "training", "val", "valid", "validation", "test", "testing", "dev", "eval"),
    *("development", "evaluation", "trainval", "test1", "test2"),
}
TABLES = (".csv", ".tsv")
TAKES = (
    "Give a folder of .npy, .npz, .pt, .pkl or .h5 files, or one such file of many clips"
    " (docs/features.md)."
)


@dataclass
class FoundEntries:
    """What sources hold.

    Attributes:
        groups: entries by the tree or file that they are of; one, called "", where there is one.
        skipped: files without features, with the reason.
    """

    groups: dict[str, list[Entry]] = field(default_factory=dict)
    skipped: list[SkippedClip] = field(default_factory=list)


def find_entries(sources: Sequence[str], progress: Progress | None = None) -> FoundEntries:
    """Find the clips of some sources.

    Args:
        sources: paths; several are several arrays of the same clips.
        progress: called with files done and in all.

    Raises:
        CapfixError: nothing there, no features in it, or HDF5 without h5py.
    """
    found = FoundEntries()
    for source in sources:
        path = Path(source)
        if not source.strip():
            raise CapfixError("--features is empty: was a variable of the shell not set?", TAKES)
        if path.is_dir():
            _add_folder(found, path, progress, label=path.name if len(sources) > 1 else "")
        elif path.is_file():
            _add_file(found, path, label=path.stem if len(sources) > 1 else "")
        else:
            raise CapfixError(f"There are no features at {printable(source)}.", TAKES)
    found.groups = {label: entries for label, entries in found.groups.items() if entries}
    if not found.groups:
        raise CapfixError(_nothing(sources, found.skipped), TAKES)
    return found


def _nothing(sources: Sequence[str], skipped: Sequence[SkippedClip]) -> str:
    place = printable(" and ".join(sources))
    if not skipped:
        return f"{place} has no files of features."
    more = f" and {len(skipped) - 1} more" if len(skipped) > 1 else ""
    return f"{place} has no features: {printable(skipped[0].path)} {skipped[0].reason}{more}."


def _add_file(found: FoundEntries, path: Path, label: str) -> None:
    """Add one file: of many clips, of one, or a table that says where each clip's arrays are."""
    if path.suffix.lower() in TABLES:
        found.groups.setdefault(label, []).extend(_of_table(path, found.skipped))
        return
    if not is_feature_file(path):
        kind = f"a {path.suffix[1:].upper()} file" if path.suffix else "a file"
        raise CapfixError(f"{printable(str(path))} is {kind}, which holds no features.", TAKES)
    if path.suffix.lower() in NPY and _one_clip(path):
        _add_clip(found, path, path.stem, label)
        return
    try:
        found.groups.setdefault(label, []).extend(entries_of_file(path))
    except NoFeatures as error:
        found.skipped.append(SkippedClip(path.name, str(error)))


def _one_clip(path: Path) -> bool:
    """Say whether a file given by itself is one clip: [T, D] or [D]."""
    try:
        shape, dtype = npy_header(path)
    except (OSError, ValueError):
        return True  # told where it is read
    return len(shape) <= 2 and not dtype.hasobject and not dtype.names


def _add_clip(found: FoundEntries, path: Path, key: str, label: str) -> None:
    try:
        found.groups.setdefault(label, []).append(clip_entry(path, key))
    except NoFeatures as error:
        found.skipped.append(SkippedClip(key, str(error)))


def clip_entry(path: Path, key: str) -> Entry:
    """Make an entry of a file that holds one clip; a plain array is not read for it.

    Raises:
        NoFeatures: it has none; in words.
    """
    suffix = path.suffix.lower()
    if suffix in NPY:
        try:
            shape, dtype = npy_header(path) if path.stat().st_size else ((), None)
        except (OSError, ValueError) as error:
            raise NoFeatures(f"unreadable: {error!s:.80}") from error
        if dtype is not None and dtype.kind in "biuf" and not dtype.names:
            if not shape:
                raise NoFeatures("holds a single number, no array")
            fields = {"": Field(shape, dtype.str.lstrip("<>|="))}
            return Entry(key, path, fields, lambda: {"": read_npy(path)})
    if suffix in HDF5:
        return _hdf5_clip(path, key)
    value = read_value(path)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return record_entry(key, path, value, lambda: _single(read_value(path)))


def _single(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _hdf5_clip(path: Path, key: str) -> Entry:
    import numpy as np

    held = {name: item for name, item in open_hdf5(path).items() if getattr(item, "shape", ())}
    fields = {
        name: Field(tuple(item.shape), np.dtype(item.dtype).str.lstrip("<>|="))
        for name, item in held.items()
        if item.dtype.kind in "biuf"
    }
    if not fields:
        raise NoFeatures("holds no datasets of numbers")

    def read() -> Arrays:
        return {name: np.asarray(open_hdf5(path)[name]) for name in fields}

    return Entry(key, path, fields, read)


def _add_folder(
    found: FoundEntries, folder: Path, progress: Progress | None, *, label: str
) -> None:
    files = sorted(
        Path(place, name)
        for place, names in walk_folders(folder)
        for name in names
        if name.lower().endswith(SUFFIXES) and not name.startswith(".")
    )
    if not files:
        return
    if len(files) <= FEW_FILES and _add_shards(found, files, label):
        return
    trees = _trees(folder, files)
    done = 0
    for tree, own in trees.items():
        name = f"{label}/{tree}".strip("/")
        root = folder / tree
        for path in own:
            key = _key(path.relative_to(root))
            _add_clip(found, path, key, name)
            done += 1
            if progress is not None:
                progress(done, len(files))


def _key(path: Path) -> str:
    """Name a clip by its path without the array's suffix, which may follow one of audio."""
    return path.with_name(path.name[: -len(path.suffix)]).as_posix()


def _add_shards(found: FoundEntries, files: Sequence[Path], label: str) -> bool:
    """Add a few files that hold many clips each; say whether they do."""
    held: dict[Path, list[Entry]] = {}
    for path in files:
        try:
            held[path] = entries_of_file(path)
        except NoFeatures:
            return False
    if max(map(len, held.values())) <= len(files):
        return False
    # Files of other clips are parts of one set; files of the same clips are other arrays of them.
    for path, entries in held.items():
        keys = {entry.key for entry in entries}
        known = [name for name, own in found.groups.items() if _same(keys, own)]
        name = path.stem if known or _any_same(path, held) else label
        found.groups.setdefault(name, []).extend(entries)
    return True


def _same(keys: set[str], entries: Sequence[Entry]) -> bool:
    others = {entry.key for entry in entries}
    return len(keys & others) >= SAME_KEYS * max(len(keys), len(others))


def _any_same(path: Path, held: Mapping[Path, Sequence[Entry]]) -> bool:
    keys = {entry.key for entry in held[path]}
    return any(other != path and _same(keys, entries) for other, entries in held.items())


def _trees(folder: Path, files: Sequence[Path]) -> dict[str, list[Path]]:
    """Part files into trees that hold the same clips; one tree where they do not."""
    parts: dict[str, list[Path]] = {}
    for path in files:
        first, *rest = path.relative_to(folder).parts
        parts.setdefault(first if rest else "", []).append(path)
    if len(parts) < 2 or "" in parts or any(name.lower() in SPLITS for name in parts):
        return {"": list(files)}
    keys = [{_key(path.relative_to(folder / name)) for path in own} for name, own in parts.items()]
    common = set.intersection(*keys)
    if len(common) < SAME_KEYS * max(map(len, keys)):
        return {"": list(files)}
    return parts


def _of_table(path: Path, skipped: list[SkippedClip]) -> list[Entry]:
    """Read where each clip's arrays are: a column of paths, and one that names clips."""
    rows, _ = read_rows(path)
    place = _path_column(path, rows)
    names = list(dict.fromkeys(name for row in rows for name in row))
    told = next((name for known in IDS for name in names if name.lower() == known), place)
    entries = []
    for row in rows:
        key, text = str(row.get(told, "")).strip(), str(row.get(place, "")).strip()
        file = next((p for p in (path.parent / text, Path(text)) if p.is_file()), None)
        if file is None:
            skipped.append(SkippedClip(key or text, f"{text} is not there"))
            continue
        if told == place:
            key = _key(Path(text))
        try:
            entries.append(_in_file(file, key))
        except NoFeatures as error:
            skipped.append(SkippedClip(key, str(error)))
    return entries


def _in_file(file: Path, key: str) -> Entry:
    """Find a clip in the file that a table names: by its key where the file holds many."""
    if file.suffix.lower() in HDF5:
        held = open_hdf5(file)
        for name in (key, key.rpartition("/")[2], Path(key).stem):
            if name in held and hasattr(held[name], "shape"):
                return next(entry for entry in entries_of_file(file) if entry.key == name)
        raise NoFeatures(f"{file.name} has no dataset {key}")
    return clip_entry(file, key)


def _path_column(path: Path, rows: Iterable[Row]) -> str:
    rows = list(rows)
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [str(row.get(name, "")).lower() for row in rows[:100]]
        if sum(value.endswith(SUFFIXES) for value in values) > len(values) / 2:
            return name
    raise CapfixError(
        f"{printable(str(path))} has no column with paths of feature files.",
        "Such as: audio_id,hdf5_path",
    )
