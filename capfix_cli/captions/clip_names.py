"""Which name in a captions file means which clip of a folder: one rule for every command."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

# Endings of a clip's name that may differ between a captions file and the audio.
SUFFIXES = (
    *(".wav", ".flac", ".ogg", ".mp3", ".m4a", ".aac", ".opus", ".webm", ".mp4", ".aiff", ".aif"),
    *(".mkv", ".mov", ".avi"),
    *(".npy", ".npz", ".pt", ".hdf5"),
)


@dataclass(frozen=True)
class NamePairs:
    """Clips and the names that a file has of them.

    Attributes:
        by_clip: clip -> its name in the file, in the order of the clips; clips without are absent.
        ambiguous: clips that several names of the file could mean equally well.
        unused: names of the file that mean no clip, in its order.
    """

    by_clip: dict[str, str]
    ambiguous: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()


def pair_names(names: Iterable[str], clips: Iterable[str]) -> NamePairs:
    """Find each clip's name in a file, in whatever order either comes.

    A name means a clip where it is its path in the folder; else where the longest ending of the
    path that the file knows (``rain/a.wav``, ``a.wav``) is that of one name alone; else the same
    without the suffix, as in files that tell clips by a number.

    Args:
        names: as the file has them: paths in the folder or elsewhere, bare names, or identifiers.
        clips: paths in the folder, with forward slashes.

    >>> pair_names(["/data/b/1.wav", "2"], ["b/1.wav", "c/2.flac", "3.wav"]).by_clip
    {'b/1.wav': '/data/b/1.wav', 'c/2.flac': '2'}
    """
    names = list(names)
    exact = set(names)
    endings: dict[str, set[str]] = defaultdict(set)
    stems: dict[str, set[str]] = defaultdict(set)
    for name in names:
        for ending in _endings(name):
            endings[ending].add(name)
            stems[_stem(ending)].add(name)
    by_clip: dict[str, str] = {}
    ambiguous = []
    for clip in clips:
        if clip in exact:
            by_clip[clip] = clip
            continue
        tails = _endings(clip)
        found = next((endings[tail] for tail in tails if tail in endings), None)
        if found is None:
            cut = map(_stem, tails)
            found = next((stems[tail] for tail in cut if tail in stems), set())
        if len(found) == 1:
            (by_clip[clip],) = found
        elif found:
            ambiguous.append(clip)
    used = set(by_clip.values())
    unused = tuple(name for name in dict.fromkeys(names) if name not in used)
    return NamePairs(by_clip, tuple(ambiguous), unused)


def _endings(name: str) -> list[str]:
    """Give a path's endings, the longest first, as all systems would write them."""
    text = unicodedata.normalize("NFC", name.replace("\\", "/"))
    parts = [part for part in text.split("/") if part not in ("", ".")]
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _stem(name: str) -> str:
    """Take off an ending of audio or features; identifiers may hold dots."""
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return name
