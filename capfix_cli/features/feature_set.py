"""Clips of features, found and measured once: what a set of audio clips is for audio."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from capfix_cli.audio.audio_batches import ArrayClip, Waveform
from capfix_cli.audio.clip_set import ClipSet
from capfix_cli.captions.captions_file import printable
from capfix_cli.core.errors import CapfixError
from capfix_cli.core.progress import ProgressCallback, no_progress
from capfix_cli.core.randomness import drawn_order
from capfix_cli.core.suggest import did_you_mean
from capfix_cli.features.clip_keys import Collapsed, KeyMatch, collapse, match_keys
from capfix_cli.features.feature_entries import (
    Arrays,
    Entry,
    Field,
    NoFeatures,
    may_be_features,
)
from capfix_cli.features.feature_layout import FeatureLayout, FieldLayout, layout_of, squeezed
from capfix_cli.features.feature_sources import find_entries
from capfix_cli.schemas.clip_records import SkippedClip

USUAL = 10.0  # seconds that a usual clip counts as, so that batches hold as many as of audio
MOST_SAMPLES = 10_000  # frames of one number: longer ones are audio
BANK = 64  # clips that the moments of a set are taken from
SHOWN = 3  # names that are told of those that do not match


@dataclass(frozen=True)
class FeatureClip(ArrayClip):
    """One clip's arrays, read when they are asked for.

    Attributes:
        entry: where they are.
        layout: of the set.
    """

    entry: Entry = field(kw_only=True, compare=False, repr=False)
    layout: FeatureLayout = field(kw_only=True, compare=False, repr=False)

    def read(self, min_samples: int = 1) -> Waveform | SkippedClip:
        """Give [T, W] float32 as the samples of a clip; or why it cannot be used."""
        try:
            frames = self.layout.pack(self.entry.read())
        except NoFeatures as reason:
            return SkippedClip(self.name, str(reason))
        except (OSError, ValueError, KeyError) as error:
            return SkippedClip(self.name, f"unreadable: {error!s:.80}")
        if not bool(frames.isfinite().all()):
            return SkippedClip(self.name, "non-finite numbers (NaN or infinity)", "non-finite")
        if frames.numel() > 1 and float(frames.min()) == float(frames.max()):
            value = float(frames.flatten()[0])
            return SkippedClip(self.name, f"constant: every number is {value:g}", "silent")
        digest = hashlib.blake2b(frames.numpy().tobytes(), digest_size=12).digest()
        missing = min_samples - len(frames)
        if missing > 0:
            frames = torch.nn.functional.pad(frames, (0, 0, 0, missing))
        return Waveform(self.name, frames, digest, self.seconds, missing > 0)


@dataclass(frozen=True)
class FeatureSet(ClipSet):
    """Clips of features; ``folder`` is where they are.

    Attributes:
        layout: of the clips' arrays.
        sources: the paths that were given.
        wanted: the fields as they were given, or None.
        told: what a reader must know of how files were read.
        said: clip -> captions that lie beside its arrays.
        rate: frames that stand for a second, so that a usual clip counts as ten of these.
    """

    layout: FeatureLayout = field(kw_only=True)
    sources: tuple[str, ...] = field(kw_only=True)
    wanted: str | None = field(kw_only=True, default=None)
    told: tuple[str, ...] = field(kw_only=True, default=())
    said: Mapping[str, Sequence[str]] = field(kw_only=True, default_factory=dict)
    rate: int = field(kw_only=True, default=1)

    @property
    def described(self) -> str:
        """What a clip's arrays are, such as ``[T, 2048]``."""
        return " and ".join(_described(one) for one in self.layout.fields)

    def named_after(self, names: Iterable[str], path: str | Path) -> FeatureSet:
        """Give clips the names that a captions file has of them.

        Args:
            names: of the file, in its order.
            path: of the file, for messages.

        Raises:
            CapfixError: none of the clips is in it; says what both have.
        """
        names = list(names)
        found = match_keys(self.names, names)
        if not found.by_clip:
            raise CapfixError(
                f"None of the {len(self)} clips of features in {printable(self.folder)} is in"
                f" {path}: these are named {_shown(self.names)}, it names {_shown(names)}.",
                "Name arrays as the captions file names clips (docs/features.md has the rules).",
            )
        clips = tuple(
            replace(clip, name=found.by_clip.get(clip.name, clip.name)) for clip in self.clips
        )
        said = {found.by_clip.get(name, name): texts for name, texts in self.said.items()}
        told = (*self.told, *_match_note(found, len(self), path))
        return replace(self, clips=clips, told=told, said=said)

    def frames(self, count: int = BANK, seed: int = 0) -> list[Tensor]:
        """Read a few clips, [T, W] each, drawn by the seed."""
        found: list[Tensor] = []
        for place in drawn_order(self.names, seed, "bank"):
            clip = self.clips[place]
            read = clip.read() if isinstance(clip, FeatureClip) else None
            if isinstance(read, Waveform):
                found.append(read.samples)
            if len(found) == count:
                break
        return found


def _shown(names: Sequence[str]) -> str:
    return printable(", ".join(names[:SHOWN])) + (", ..." if len(names) > SHOWN else "")


def _match_note(found: KeyMatch, clips: int, path: str | Path) -> list[str]:
    """Say how many clips matched, and a few that did not."""
    notes = []
    if found.by != "by name":
        notes.append(
            f"Clips of features have no names and were matched with {path} by their order."
        )
    if found.without:
        notes.append(
            f"{len(found.by_clip)} of {clips} clips of features are in {path};"
            f" {len(found.without)} are not ({_shown(found.without)})."
        )
    return notes


def _described(one: FieldLayout) -> str:
    shape = (str(one.width),) if not one.rest else tuple(map(str, one.rest))
    first = "1" if one.vector else "T"
    kind = " codes" if one.integer else ""
    return f"{one.name} [{', '.join((first, *shape))}]{kind}".strip()


def open_features(
    sources: str | Path | Sequence[str | Path],
    field: str | None = None,
    progress: ProgressCallback = no_progress,
) -> FeatureSet:
    """Find the clips of features at some paths, and see what they have in common.

    Args:
        sources: a folder of files of arrays, or a file of many clips; several for several arrays of
            the same clips.
        field: the array to use where a clip has several; several, comma by comma, or ``all``.
        progress: called as files are looked at.

    Raises:
        CapfixError: nothing there, nothing in it that is an array of numbers, several arrays a clip
            and none named, or HDF5 without h5py.
    """
    given = [sources] if isinstance(sources, str | Path) else list(sources)
    paths = tuple(str(one) for one in given)
    label = " and ".join(paths)
    found = find_entries(paths, lambda done, total: progress("reading feature files", done, total))
    groups = {name: collapse(entries, _equal) for name, entries in found.groups.items()}
    together, skipped = _joined(groups, found.skipped)
    names = _chosen(together.entries, field, label, together=len(groups) > 1)
    clips, layout, more = _clips(together.entries, names)
    if not clips:
        first = (more or skipped)[0]
        raise CapfixError(
            f"None of the {len(together.entries)} clips in {printable(label)} has features that"
            f" can be used ({printable(first.path)} {first.reason}).",
            "Features are arrays of numbers, [T, D] or [D] a clip (docs/features.md).",
        )
    rate = max(1, round(float(np.median([clip.frames for clip in clips])) / USUAL))
    made = tuple(
        FeatureClip(clip.name, clip.path, clip.frames / rate, rate, entry=clip.entry, layout=layout)
        for clip in clips
    )
    return FeatureSet(
        label,
        tuple(sorted(made, key=lambda clip: clip.name)),
        tuple(sorted([*skipped, *more], key=lambda clip: clip.path)),
        layout=layout,
        sources=paths,
        wanted=field,
        told=tuple(_notes(together, layout, names)),
        said=together.said,
        rate=rate,
    )


def _equal(one: Entry, other: Entry) -> bool:
    """Say whether two entries hold the same arrays, as far as one of them could be features."""
    try:
        first, second = one.read(), other.read()
    except (NoFeatures, OSError, ValueError, KeyError):
        return False
    wanted = [name for name, kind in one.fields.items() if may_be_features(name, kind)]
    floats = [name for name in wanted if one.fields[name].kind[0] == "f"] or wanted
    return all(
        name in second and np.array_equal(first[name], second[name], equal_nan=True)
        for name in floats
    )


def _joined(
    groups: Mapping[str, Collapsed], skipped: Sequence[SkippedClip]
) -> tuple[Collapsed, list[SkippedClip]]:
    """Bring the arrays of the same clips together, whatever trees or files they are in."""
    left = list(skipped)
    if len(groups) == 1:
        return next(iter(groups.values())), left
    common = set.intersection(*(set(group.entries) for group in groups.values()))
    for label, group in groups.items():
        left += [SkippedClip(key, f"only in {label}") for key in group.entries if key not in common]
    entries = {}
    for key in sorted(common):
        parts = {label: group.entries[key] for label, group in groups.items()}
        entries[key] = _both(key, parts)
    said = {key: texts for group in groups.values() for key, texts in group.said.items()}
    copies = max(group.copies for group in groups.values())
    return Collapsed(entries, copies, said), left


def _both(key: str, parts: Mapping[str, Entry]) -> Entry:
    fields: dict[str, Field] = {}
    places: dict[str, tuple[str, str]] = {}
    for label, entry in parts.items():
        for name, kind in entry.fields.items():
            whole = f"{label}/{name}".strip("/") if name and len(entry.fields) > 1 else label
            fields[whole], places[whole] = kind, (label, name)

    def read() -> Arrays:
        held = {label: entry.read() for label, entry in parts.items()}
        return {whole: held[label][name] for whole, (label, name) in places.items()}

    first = next(iter(parts.values()))
    return Entry(key, first.path, fields, read, first.named, first.said)


def _chosen(
    entries: Mapping[str, Entry], wanted: str | None, label: str, *, together: bool
) -> list[str]:
    """Choose which arrays of a clip are its features.

    Raises:
        CapfixError: several could be and none is named, the one that is named is not there, or none
            could be; lists them.
    """
    kinds: dict[str, Field] = {}
    for entry in entries.values():
        kinds |= {name: kind for name, kind in entry.fields.items() if name not in kinds}
    usable = {name: kind for name, kind in kinds.items() if may_be_features(name, kind)}
    listed = ", ".join(f"{name} {kind}".strip() for name, kind in usable.items())
    if wanted is not None and wanted != "all":
        names = [name.strip() for name in wanted.split(",") if name.strip()]
        for name in names:
            if name not in kinds or not kinds[name].numeric:
                hint = f"Fields: {listed}." if any(kinds) else "The files have one array a clip."
                told = did_you_mean(name, [one for one in usable if one], hint)
                raise CapfixError(f"{printable(label)} has no field {name!r}.", told)
        return names
    floats = {name: kind for name, kind in usable.items() if kind.kind[0] == "f"}
    likely = {n: k for n, k in floats.items() if len(squeezed(k.shape)) > 1} or floats or usable
    if not likely:
        all_kinds = ", ".join(f"{name} {kind}".strip() for name, kind in kinds.items())
        raise CapfixError(f"{printable(label)} holds no features: {all_kinds}.", "")
    if wanted == "all" or together:
        return list(usable)
    exact = [name for name in likely if name.rpartition("/")[2] == "features"]
    if len(likely) == 1 or len(exact) == 1:
        return exact or list(likely)
    raise CapfixError(
        f"Each clip in {printable(label)} has several arrays: {listed}.",
        "Name the one to use with --feature-field NAME, or several: NAME,NAME.",
    )


@dataclass(frozen=True)
class _Found:
    name: str
    path: Path
    frames: int
    entry: Entry


def _clips(
    entries: Mapping[str, Entry], names: Sequence[str]
) -> tuple[list[_Found], FeatureLayout, list[SkippedClip]]:
    """Part clips that have the arrays from those that do not, and tell the layout of all."""
    whole, skipped = {}, []
    for name, entry in entries.items():
        missing = [one for one in names if one not in entry.fields]
        empty = [one for one in names if one not in missing and 0 in entry.fields[one].shape]
        if missing:
            skipped.append(SkippedClip(name, f"has no field {missing[0]}"))
        elif empty:
            skipped.append(SkippedClip(name, "is empty", "empty"))
        elif not all(entry.fields[one].numeric for one in names):
            skipped.append(SkippedClip(name, "holds no array of numbers"))
        else:
            whole[name] = entry
    if not whole:
        return [], FeatureLayout(()), skipped
    shapes = {
        one: [(entry.fields[one].shape, entry.fields[one].kind) for entry in whole.values()]
        for one in names
    }
    layout = layout_of(shapes)
    _refuse_audio(layout)
    found = []
    for name, entry in whole.items():
        wrong = next((told for one in layout.fields if (told := _misfit(entry, one))), None)
        if wrong is not None:
            skipped.append(SkippedClip(name, wrong))
        else:
            frames = max(_count(entry.fields[one.name].shape, one) for one in layout.fields)
            found.append(_Found(name, entry.path, frames, entry))
    return found, layout, skipped


def _misfit(entry: Entry, one: FieldLayout) -> str | None:
    """Say how a clip's array differs from those of the set; None where it does not."""
    shape = squeezed(entry.fields[one.name].shape)
    first = len(shape) == 1 or one.time == 1
    width = shape[0] if first else int(np.prod(shape[1:]))
    if width == one.width:
        return None
    kind = str(list(shape))
    return f"is {kind}, where the others are {_described(one)}"


def _count(shape: Sequence[int], one: FieldLayout) -> int:
    size = squeezed(shape)
    return 1 if len(size) == 1 else size[one.time]


def _refuse_audio(layout: FeatureLayout) -> None:
    """Refuse waveforms.

    Raises:
        CapfixError: a vector a clip that is as long as a second of audio.
    """
    for one in layout.fields:
        name = one.name.rpartition("/")[2].lower()
        if one.vector and (one.width > MOST_SAMPLES or name in {"waveform", "wav"}):
            raise CapfixError(
                f"{one.name or 'Each array'} has {one.width} numbers a clip: these are samples of"
                " audio, not features.",
                "Write them as WAV files and give these with --audio.",
            )


def _notes(found: Collapsed, layout: FeatureLayout, names: Sequence[str]) -> list[str]:
    notes = []
    if found.copies:
        notes.append(
            f"{found.copies} arrays are copies of clips that are there, a file a caption, and were"
            " left out."
        )
    turned = [one for one in layout.fields if one.time == 1]
    if turned:
        notes.append(
            f"Time is the second axis of the arrays ([{turned[0].width}, T]): the captioner gets"
            f" [B, T, {turned[0].width}]."
        )
    if not layout.single:
        notes.append(f"Several arrays a clip, by field: {', '.join(names)}.")
    return notes
