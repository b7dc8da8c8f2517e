"""Training clips and captions: read, matched, and turned into log-mel features once."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from capfix_cli.audio.audio_batches import Waveform, iterate_batches
from capfix_cli.audio.audio_files import Clip, unreadable
from capfix_cli.audio.clip_set import ClipSource, open_clips
from capfix_cli.captioners.own.mel_frames import make_front_end
from capfix_cli.captioners.own.own_captioner import SPECIAL
from capfix_cli.captioners.own.own_config import FrontEndConfig
from capfix_cli.captions.reference_file import fit_references, read_references
from capfix_cli.core.errors import CapfixError
from capfix_cli.core.text import split_words
from capfix_cli.features.feature_set import FeatureSet
from capfix_cli.schemas.clip_records import SkippedClip
from capfix_cli.training.clip_variants import Variants
from capfix_cli.training.feature_cache import Digests, FeatureCache, Features
from capfix_cli.training.training_clips import TrainingClips

Progress = Callable[[int, int], None]  # done, in all


@dataclass(frozen=True)
class Matched:
    """The files of a folder and the captions that belong to them.

    Attributes:
        folder: of the clips.
        clips: files with captions, by path.
        captions: name -> captions, of the same clips.
        skipped: files that cannot be read, with captions or without.
        unmatched: clips without captions.
        absent: names in the captions file that are of no file in the folder.
        notes: how the captions file was read.
    """

    folder: str
    clips: list[Clip]
    captions: dict[str, list[str]]
    skipped: list[SkippedClip]
    unmatched: tuple[str, ...]
    absent: tuple[str, ...]
    notes: tuple[str, ...] = ()


def match_files(captions_file: str | Path, audio: ClipSource) -> Matched:
    """Find which captions of a file belong to which audio of a folder.

    Args:
        captions_file: in any layout that ``capfix measure`` reads.
        audio: a folder, or its clips.

    Raises:
        CapfixError: no captions, no audio, or none that belong together.
    """
    references = read_references(captions_file)
    found = open_clips(audio)
    if isinstance(found, FeatureSet):
        found = found.named_after(references, captions_file)
    there = [*found.names, *(clip.path for clip in found.skipped)]
    fit = fit_references(references, there, captions_file)
    captions = {name: fit.matched[name] for name in found.names if name in fit.matched}
    return Matched(
        found.folder,
        [clip for clip in found.clips if clip.name in captions],
        captions,
        list(found.skipped),
        tuple(name for name in found.names if name not in captions),
        fit.unused,
        tuple(f"{captions_file}: {note}." for note in references.notes),
    )


def load_training_clips(
    captions_file: str | Path,
    audio: ClipSource,
    front_end: FrontEndConfig,
    progress: Progress | None = None,
    *,
    root: Path | None = None,
    variants: Variants | None = None,
) -> TrainingClips:
    """Read a captions file and its audio, and compute the features once.

    Args:
        captions_file: in any layout that ``capfix measure`` reads.
        audio: a folder, or its clips.
        front_end: of the captioner.
        progress: called with clips done and in all.
        root: as of :func:`compute_features`.
        variants: as of :func:`compute_features`.

    Raises:
        CapfixError: no captions, no audio, or none that belong together; or the cache cannot be
            written.
    """
    found = match_files(captions_file, audio)
    return compute_features(found, front_end, progress, root=root, variants=variants)


def compute_features(
    found: Matched,
    front_end: FrontEndConfig,
    progress: Progress | None = None,
    *,
    root: Path | None = None,
    variants: Variants | None = None,
) -> TrainingClips:
    """Compute the features of clips once.

    Args:
        found: the clips and their captions.
        front_end: of the captioner.
        progress: called with clips done and in all.
        root: the folder whose ``.capfix/cache`` keeps the features; in memory alone where None.
        variants: altered copies to make; needs a ``root`` where there are any.

    Raises:
        CapfixError: none of the clips can be used, or the cache cannot be written.
    """
    skipped = list(found.skipped)
    if root is None:
        return _in_memory(found, front_end, progress, skipped=skipped, variants=variants)
    cache = FeatureCache(root, dataclasses.asdict(front_end))
    digests = _digests(found.clips, skipped, root)
    copies = 1 + _copies(variants)
    _fill(cache, found, digests, front_end, variants, skipped=skipped, progress=progress)
    broken = {clip.path for clip in skipped}
    known = {name: digest for name, digest in digests.items() if name not in broken}
    names = _usable(known, found, skipped)
    stored = [
        Features(cache, [p for n in names if (p := _place(cache, digests, n, variants, copy))])
        for copy in range(copies)
    ]
    clips = _gather(found, names, stored[0], skipped)
    return dataclasses.replace(
        clips, altered=tuple(stored[1:]), cached=(cache.folder, cache.size())
    )


def _copies(variants: Variants | None) -> int:
    return variants.count if variants is not None else 0


def _in_memory(
    found: Matched,
    front_end: FrontEndConfig,
    progress: Progress | None,
    *,
    skipped: list[SkippedClip],
    variants: Variants | None,
) -> TrainingClips:
    """Compute the features of clips as they are, and keep none on disk."""
    front = make_front_end(front_end)
    total = len(found.clips) * (1 + _copies(variants))
    held: dict[str, Tensor] = {}
    for wave in _waveforms(found.clips, front_end, skipped):
        held[wave.name] = log_mel(front, wave.samples)
        _tell(progress, len(held) + len(skipped), total)
    names = _usable(held, found, skipped)
    return _gather(found, names, [held[name] for name in names], skipped)


def _fill(
    cache: FeatureCache,
    found: Matched,
    digests: Mapping[str, str],
    front_end: FrontEndConfig,
    variants: Variants | None,
    *,
    skipped: list[SkippedClip],
    progress: Progress | None,
) -> None:
    """Compute what the cache lacks, of the clips and of each altered copy of them."""
    front = make_front_end(front_end)
    done, total = 0, len(found.clips) * (1 + _copies(variants))
    _tell(progress, 0, total)
    for copy in range(1 + _copies(variants)):
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


def log_mel(front: nn.Module, samples: Tensor) -> Tensor:
    """Compute a clip's features, the same however clips are batched.

    Args:
        front: [B, samples] and lengths -> [B, frames, n_mels] and lengths in frames.
        samples: [samples] float32 at the front end's rate.

    Returns:
        [frames, n_mels] float16.
    """
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


def _digests(clips: Sequence[Clip], skipped: list[SkippedClip], root: Path) -> dict[str, str]:
    known, found = Digests(root), {}
    for clip in clips:
        try:
            found[clip.name] = known.of(clip.path)
        except OSError as error:
            skipped.append(SkippedClip(clip.name, unreadable(error)))
    known.save()
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
    skipped: Sequence[SkippedClip],
) -> list[str]:
    """Name the clips that can be used.

    Raises:
        CapfixError: there are none.
    """
    if not known:
        first = f": {skipped[0].path} is {skipped[0].reason}" if skipped else ""
        raise CapfixError(
            f"None of the {len(found.clips) or len(skipped)} captioned clips in {found.folder} can"
            f" be used{first}.",
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
    """Give the special tokens and every word said at least ``minimum`` times.

    Args:
        captions: of each clip.
        minimum: times that a word must be said.

    Returns:
        Words, the commonest first after the special tokens; equally common ones by alphabet.
    """
    counts = Counter(word for texts in captions for text in texts for word in split_words(text))
    words = [word for word, count in counts.items() if count >= minimum]
    return [*SPECIAL, *sorted(words, key=lambda word: (-counts[word], word))]
