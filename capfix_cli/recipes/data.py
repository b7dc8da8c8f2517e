"""Training clips and captions: read, matched, and turned into log-mel features once."""

from __future__ import annotations

import csv
import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from capfix_cli.audio.batches import Waveform, iterate_batches
from capfix_cli.audio.files import Clip, read_headers, unreadable
from capfix_cli.captioners.own.captioner import SPECIAL
from capfix_cli.captioners.own.config import FrontEndConfig
from capfix_cli.captioners.own.front_end import make_front_end
from capfix_cli.errors import CapfixError
from capfix_cli.measures.captions_file import NAMES, match_references, read_references
from capfix_cli.recipes.cache import FeatureCache, Features, disk_error, file_digest
from capfix_cli.recipes.variants import Variants
from capfix_cli.records import SkippedClip
from capfix_cli.words import split_words

Progress = Callable[[int, int], None]  # done, in all


@dataclass(frozen=True)
class LeftOut:
    """A row of the training data that is not trained on, and why."""

    file_name: str
    caption: str
    reason: str


@dataclass(frozen=True)
class TrainingClips:
    """Every training clip's features and captions.

    Attributes:
        features: [frames, n_mels] float16 each: a log-mel of +-16 keeps a hundredth, and half
            the memory. Of a user's own captioner: [samples] float32.
        captions: of each clip, at least one.
        skipped: files that could not be used.
        unmatched: audio files without a caption.
        names: of the clips.
        altered: for each altered copy, its features clip by clip (fix 3.4).
        absent: captions whose audio is not there, by their file name.
        rejected: captions that were filtered out (fix 4.2).
        cached: where the features are on disk and how many bytes, or None.
    """

    features: Sequence[Tensor]
    captions: list[list[str]]
    skipped: tuple[SkippedClip, ...] = ()
    unmatched: tuple[str, ...] = ()
    names: list[str] = field(default_factory=list)
    altered: tuple[Sequence[Tensor], ...] = ()
    absent: tuple[str, ...] = ()
    rejected: tuple[LeftOut, ...] = ()
    cached: tuple[Path, int] | None = None

    def left_out(self) -> list[LeftOut]:
        """List whatever is not trained on."""
        return [
            *(LeftOut(name, "", "audio without a caption") for name in self.unmatched),
            *(LeftOut(name, "", "caption without its audio") for name in self.absent),
            *(LeftOut(clip.path, "", clip.reason) for clip in self.skipped),
            *self.rejected,
        ]

    def subset(self, places: Sequence[int]) -> TrainingClips:
        """Give some of the clips."""
        return dataclasses.replace(
            self,
            features=Chosen(self.features, places),
            captions=[self.captions[place] for place in places],
            names=[self.names[place] for place in places] if self.names else [],
            altered=tuple(Chosen(copy, places) for copy in self.altered),
        )


class Chosen(Sequence[Tensor]):
    """Some of a sequence's items, read when asked for."""

    def __init__(self, whole: Sequence[Tensor], places: Sequence[int]) -> None:
        self.whole, self.places = whole, list(places)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Tensor:  # type: ignore[override]
        return self.whole[self.places[index]]


@dataclass(frozen=True)
class Matched:
    """The files of a folder and the captions that belong to them."""

    clips: list[Clip]
    captions: dict[str, list[str]]
    skipped: list[SkippedClip]
    unmatched: tuple[str, ...]
    absent: tuple[str, ...]


def match_files(captions_file: str | Path, audio_folder: str | Path) -> Matched:
    """Find which captions of a file belong to which audio of a folder.

    Raises:
        CapfixError: no captions, no audio, or none that belong together.
    """
    references = read_references(captions_file)
    clips, skipped = read_headers(audio_folder)
    matched = match_references(references, [clip.name for clip in clips], captions_file)
    broken = {clip.path for clip in skipped}
    there = {clip.name for clip in clips} | broken
    bare = {Path(name).name for name in there}
    absent = [n for n in references if n not in there and Path(n).name not in bare]
    return Matched(
        [clip for clip in clips if clip.name in matched],
        matched,
        skipped,
        tuple(clip.name for clip in clips if clip.name not in matched),
        tuple(absent),
    )


def load_training_clips(
    captions_file: str | Path,
    audio_folder: str | Path,
    front_end: FrontEndConfig,
    progress: Progress | None = None,
    *,
    root: Path | None = None,
    variants: Variants | None = None,
) -> TrainingClips:
    """Read a captions file and its audio, and compute the features once.

    Args:
        captions_file: CSV or JSONL.
        audio_folder: of the clips.
        front_end: of the captioner.
        progress: called with clips done and in all.
        root: the folder whose ``.capfix/cache`` keeps the features; in memory alone where None.
        variants: altered copies to make; needs a ``root`` where there are any.

    Raises:
        CapfixError: no captions, no audio, or none that belong together; or the cache cannot be
            written.
    """
    found = match_files(captions_file, audio_folder)
    skipped = list(found.skipped)
    front = make_front_end(front_end)
    copies = variants.count if variants is not None else 0
    total = len(found.clips) * (1 + copies)
    if root is None:
        held: dict[str, Tensor] = {}
        for wave in _waveforms(found.clips, front_end, skipped):
            held[wave.name] = log_mel(front, wave.samples)
            _tell(progress, len(held) + len(skipped), total)
        names = _usable(held, found, audio_folder, skipped)
        return _gather(found, names, [held[name] for name in names], skipped)
    cache = FeatureCache(root, dataclasses.asdict(front_end))
    digests = _digests(found.clips, skipped)
    done = 0
    for copy in range(1 + copies):
        missing = []
        for clip in found.clips:
            path = _place(cache, digests, clip.name, variants, copy)
            if path is not None and not cache.has(path):
                missing.append(clip)
        done += len(found.clips) - len(missing)
        _tell(progress, done, total)
        for wave in _waveforms(missing, front_end, skipped):
            path = _place(cache, digests, wave.name, variants, copy)
            samples = wave.samples
            if copy and variants is not None:
                samples = variants.alter(wave.name, samples, front_end.sample_rate, copy)
            if path is not None:
                cache.put(path, log_mel(front, samples))
            done += 1
            _tell(progress, done, total)
    broken = {clip.path for clip in skipped}
    known = {name: digest for name, digest in digests.items() if name not in broken}
    names = _usable(known, found, audio_folder, skipped)
    stored = [
        Features(cache, [p for n in names if (p := _place(cache, digests, n, variants, copy))])
        for copy in range(1 + copies)
    ]
    clips = _gather(found, names, stored[0], skipped)
    return dataclasses.replace(
        clips, altered=tuple(stored[1:]), cached=(cache.folder, cache.size())
    )


def log_mel(front: nn.Module, samples: Tensor) -> Tensor:
    """[samples] -> [frames, n_mels] float16; the same however clips are batched."""
    with torch.inference_mode():
        frames, lengths = front(samples.unsqueeze(0), torch.tensor([len(samples)]))
    clip: Tensor = frames[0, : int(lengths[0])].half().clone()
    return clip


def _waveforms(
    clips: Sequence[Clip], front_end: FrontEndConfig, skipped: list[SkippedClip]
) -> Iterator[Waveform]:
    known = {clip.path for clip in skipped}
    wanted = [clip for clip in clips if clip.name not in known]
    for batch in iterate_batches(wanted, front_end.sample_rate, 16, front_end.min_samples):
        skipped.extend(batch.skipped)
        yield from batch.clips


def _digests(clips: Sequence[Clip], skipped: list[SkippedClip]) -> dict[str, str]:
    found = {}
    for clip in clips:
        try:
            found[clip.name] = file_digest(Path(os.fsdecode(clip.path)))
        except OSError as error:
            skipped.append(SkippedClip(clip.name, unreadable(error)))
    return found


def _place(
    cache: FeatureCache,
    digests: Mapping[str, str],
    name: str,
    variants: Variants | None,
    copy: int,
) -> Path | None:
    if name not in digests:
        return None
    key = variants.key(name, copy) if copy and variants is not None else ""
    return cache.path(digests[name], key)


def _tell(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(min(done, total), total)


def _usable(
    known: Mapping[str, object],
    found: Matched,
    folder: str | Path,
    skipped: Sequence[SkippedClip],
) -> list[str]:
    """Name the clips that can be used.

    Raises:
        CapfixError: there are none.
    """
    if not known:
        first = f": {skipped[0].path} is {skipped[0].reason}" if skipped else ""
        raise CapfixError(
            f"None of the {len(found.clips) or len(skipped)} captioned clips in {folder} can be"
            f" used{first}.",
            "Check the audio files.",
        )
    return sorted(known)


def _gather(
    found: Matched,
    names: list[str],
    features: Sequence[Tensor],
    skipped: Sequence[SkippedClip],
) -> TrainingClips:
    return TrainingClips(
        features,
        [found.captions[name] for name in names],
        tuple(skipped),
        found.unmatched,
        names,
        absent=found.absent,
    )


def build_vocabulary(captions: Sequence[Sequence[str]], minimum: int = 1) -> list[str]:
    """Give the special tokens and every word said at least ``minimum`` times, by frequency."""
    counts = Counter(word for texts in captions for text in texts for word in split_words(text))
    words = [word for word, count in counts.items() if count >= minimum]
    return [*SPECIAL, *sorted(words, key=lambda word: (-counts[word], word))]


def write_left_out(path: Path, rows: Iterable[LeftOut]) -> None:
    """Write what is not trained on as CSV.

    Raises:
        CapfixError: it cannot be written.
    """
    try:
        with path.open("w", encoding="utf-8", errors=NAMES, newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["file_name", "caption", "reason"])
            writer.writerows([row.file_name, row.caption, row.reason] for row in rows)
    except OSError as error:
        raise disk_error(error, str(path)) from error
