"""Which clip an array is of: names that files of features have, and names that captions have."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from capfix_cli.captions.clip_names import pair_names
from capfix_cli.features.feature_entries import Entry

# As the DCASE 2020 baseline and its forks name a file a caption.
_CLOTHO = re.compile(r"^(?P<folder>.*/)?clotho_(?:file_)?(?P<name>.+?)(?:_(?P<copy>\d))?$")
_NUMBERED = re.compile(r"^(?P<name>.+)_(?P<copy>\d+)$")
COMPARED = 6  # groups of files whose arrays are compared, to see that they are copies


def base_name(entry: Entry) -> str:
    """Name a clip: as its own record says, else by its key without what a file a caption adds."""
    if entry.named:
        return entry.named
    found = _CLOTHO.match(entry.key)
    return entry.key if found is None else f"{found['folder'] or ''}{found['name']}"


@dataclass(frozen=True)
class Collapsed:
    """Clips, each once.

    Attributes:
        entries: name -> the first of its entries.
        copies: how many entries were left out since they are of a clip that is there.
        said: name -> captions that lie beside the arrays.
    """

    entries: dict[str, Entry]
    copies: int
    said: dict[str, list[str]]


def collapse(entries: Sequence[Entry], same: Callable[[Entry, Entry], bool]) -> Collapsed:
    """Make one clip of the several files that are of the same one, a file a caption.

    Args:
        entries: in any order.
        same: says whether two hold equal arrays; names alone may deceive.
    """
    groups = _groups(entries, base_name)
    if len(groups) == len(entries):
        groups = _numbered(groups, same)
    elif not _copies(groups, same):
        groups = {entry.key: [entry] for entry in entries}
    chosen, said = {}, {}
    for name, group in groups.items():
        chosen[name] = group[0]
        texts = [text for entry in group for text in entry.said]
        if texts:
            said[name] = list(dict.fromkeys(texts))
    return Collapsed(chosen, len(entries) - len(chosen), said)


def _groups(entries: Iterable[Entry], name: Callable[[Entry], str]) -> dict[str, list[Entry]]:
    groups: dict[str, list[Entry]] = defaultdict(list)
    for entry in sorted(entries, key=lambda entry: (len(entry.key), entry.key)):
        groups[name(entry)].append(entry)
    return dict(groups)


def _numbered(
    groups: dict[str, list[Entry]], same: Callable[[Entry, Entry], bool]
) -> dict[str, list[Entry]]:
    """Group names that differ by a number at their end, where their arrays are equal."""
    entries = [entry for group in groups.values() for entry in group]

    def name(entry: Entry) -> str:
        found = _NUMBERED.match(base_name(entry))
        return found["name"] if found else base_name(entry)

    fewer = _groups(entries, name)
    alike = len({len(group) for group in fewer.values()}) == 1
    if len(fewer) == len(groups) or not alike or len(fewer) < 2 or not _copies(fewer, same):
        return groups
    return fewer


def _copies(groups: Mapping[str, Sequence[Entry]], same: Callable[[Entry, Entry], bool]) -> bool:
    several = [group for group in groups.values() if len(group) > 1]
    return all(same(group[0], group[-1]) for group in several[:COMPARED])


@dataclass(frozen=True)
class KeyMatch:
    """Clips of features and the names that a captions file has of them.

    Attributes:
        by_clip: clip -> its name in the file.
        without: clips that the file does not name.
        unused: names in the file that are of no clip.
        by: how they were matched, in words.
    """

    by_clip: dict[str, str]
    without: tuple[str, ...]
    unused: tuple[str, ...]
    by: str = "by name"


def match_keys(clips: Sequence[str], names: Sequence[str]) -> KeyMatch:
    """Match clips of features to a captions file.

    A clip is meant by its exact name, by the longest ending of its path that the file knows, and
    by these without a suffix; then by what stands before the first dot; and where no name fits and
    clips are rows of an array or numbered from 0 or 1, by their order, if there are as many.

    Args:
        clips: names of the clips, the array's suffix taken off.
        names: of the captions file, in its order.
    """
    pairs = pair_names(names, clips)
    found = dict(pairs.by_clip)
    left = [clip for clip in clips if clip not in found]
    free = [name for name in names if name not in set(found.values())]
    found |= _before_the_dot(left, free)
    by = "by name"
    if not found:
        found, by = _by_order(clips, names), "by order"
    used = set(found.values())
    return KeyMatch(
        found,
        tuple(clip for clip in clips if clip not in found),
        tuple(name for name in names if name not in used),
        by if found else "by name",
    )


def _before_the_dot(clips: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    known: dict[str, list[str]] = defaultdict(list)
    for name in names:
        known[_first_part(name)].append(name)
    asked: dict[str, list[str]] = defaultdict(list)
    for clip in clips:
        asked[_first_part(clip)].append(clip)
    return {
        own[0]: known[part][0]
        for part, own in asked.items()
        if part and len(own) == 1 and len(known.get(part, ())) == 1
    }


def _first_part(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2].partition(".")[0]


def _by_order(clips: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    numbers = [_number(clip) for clip in clips]
    told = [number for number in numbers if number is not None]
    if len(told) < len(clips) or len(clips) != len(names) or not told:
        return {}
    first = min(told)
    if first > 1 or sorted(told) != list(range(first, first + len(told))):
        return {}
    return {clip: names[number - first] for clip, number in zip(clips, told, strict=True)}


def _number(clip: str) -> int | None:
    last = clip.rpartition("/")[2].removeprefix("row ")
    return int(last) if last.isascii() and last.isdigit() and len(last) < 10 else None
