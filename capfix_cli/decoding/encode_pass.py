"""One pass over the audio: greedy captions of every clip, memories of a bounded sample."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from capfix_cli.audio.audio_batches import Batch, iterate_batches, read_waveform
from capfix_cli.audio.audio_files import Clip
from capfix_cli.audio.clip_sample import PROBED, Sample
from capfix_cli.audio.clip_set import NO_CLIPS, ClipSet, ClipSource, open_clips
from capfix_cli.captioners.base import Captioner, Memory
from capfix_cli.captions.captions_file import printable
from capfix_cli.core.errors import CapfixError
from capfix_cli.core.progress import ProgressCallback, no_progress
from capfix_cli.decoding import nested_tensors as nested
from capfix_cli.decoding.decode import EncodedBatch, decode
from capfix_cli.decoding.decoding_options import GREEDY, DecodingOptions
from capfix_cli.features.feature_set import FeatureSet
from capfix_cli.schemas.clip_records import ClipCaption, SkippedClip
from capfix_cli.schemas.diagnosis_record import AudioSummary

# Clips whose memories are kept for trials and listening. Bits then have a standard error of
# about 1.5 / sqrt(256) = .1, and memory does not grow with the folder.
SAMPLE = 256

NO_SAMPLE = Sample((), (), 1)


@dataclass(frozen=True, kw_only=True)
class EncodedClips:
    """What a pass over the audio gives.

    Attributes:
        audio: summary of the folder.
        captions: of every usable clip, by file name.
        chunks: memories of the sampled clips.
        digests: of every usable clip's samples.
        finite: whether memories and first scores were finite numbers, of most clips at least.
        sample: a few of the sampled clips with their waveforms, for experiments.
        broken: clips that the captioner gives no finite numbers for; where they are the fewer,
            they are left out of all else and told among the skipped.
        clip_set: the files that were gone through.
        lengthened: clips that zeros were added to, since they were shorter than the captioner's
            minimum.
    """

    audio: AudioSummary
    captions: tuple[ClipCaption, ...]
    chunks: tuple[EncodedBatch, ...]
    digests: tuple[bytes, ...]
    finite: bool
    sample: Sample = NO_SAMPLE
    broken: tuple[str, ...] = ()
    clip_set: ClipSet = NO_CLIPS
    lengthened: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of how clips were read."""
        return (
            (lengthened_note(self.lengthened[0], len(self.lengthened)),) if self.lengthened else ()
        )


def lengthened_note(first: str, count: int) -> str:
    """Say that clips got zeros at their end, and by which rule."""
    clips = "clip is" if count == 1 else "clips are"
    return (
        f"{count} {clips} shorter than the shortest that the captioner takes and got zeros at the"
        f" end up to that length ({printable(first)})."
    )


NOT_FINITE = "the captioner's scores for it are not finite numbers"


def encode_and_caption(
    captioner: Captioner,
    audio: ClipSource,
    *,
    batch_size: int,
    seed: int,
    options: DecodingOptions = GREEDY,
    sample: int = SAMPLE,
    only_sample: bool = False,
    progress: ProgressCallback = no_progress,
) -> EncodedClips:
    """Caption every clip of a folder in one pass.

    Args:
        captioner: in eval mode.
        audio: a folder, or its clips.
        batch_size: clips.
        seed: of the sample and of draws.
        options: how to decode; greedy for a diagnosis.
        sample: how many clips' memories are kept; they are batched among themselves.
        only_sample: leave the other clips alone.
        progress: called as the work goes on.

    Raises:
        CapfixError: no such folder or no audio in it.
    """
    clips = open_clips(audio, progress)
    chosen, rest = clips.split(sample, seed)
    done = _Pass(captioner, options, seed, chosen[:PROBED], list(clips.skipped))
    for kept, group in ((True, chosen), (False, [] if only_sample else rest)):
        for batch in iterate_batches(
            group, captioner.sample_rate, batch_size, captioner.min_samples
        ):
            done.add(batch, kept=kept)
            progress("listening and captioning", done.count, len(clips))
    return done.result(clips)


class _Pass:
    """What a pass has found so far.

    Args:
        captioner: in eval mode.
        options: how to decode.
        seed: of draws.
        probed: clips whose waveforms are kept.
        skipped: files that could not be used, so far.
    """

    def __init__(
        self,
        captioner: Captioner,
        options: DecodingOptions,
        seed: int,
        probed: Sequence[Clip],
        skipped: list[SkippedClip],
    ) -> None:
        self.captioner = captioner
        self.options = options
        self.seed = seed
        self.probed = {clip.name: clip for clip in probed}
        self.skipped = skipped
        self.waveforms: dict[str, Tensor] = {}
        self.captions: list[ClipCaption] = []
        self.chunks: list[EncodedBatch] = []
        self.digests: list[bytes] = []
        self.broken: list[tuple[EncodedBatch, list[ClipCaption]]] = []
        self.seconds = 0.0
        self.lengthened: list[str] = []

    @property
    def count(self) -> int:
        """Clips that have a caption."""
        return len(self.captions) + sum(len(found) for _, found in self.broken)

    def add(self, batch: Batch, *, kept: bool) -> None:
        """Encode and caption a batch; keep its memories where they are of the sample."""
        self.skipped.extend(batch.skipped)
        if not batch.clips:
            return
        with memory_told(len(batch.clips)):
            chunk, bad = _part(self.captioner, encode(self.captioner, batch))
            if bad is not None:
                self.broken.append((bad, self._decode(bad)))
            if chunk is not None:
                self.captions.extend(self._decode(chunk))
        if chunk is not None and kept:
            self.chunks.append(chunk)
        self.digests.extend(clip.digest for clip in batch.clips)
        self.lengthened += [clip.name for clip in batch.clips if clip.lengthened]
        self.seconds += sum(clip.seconds for clip in batch.clips)
        wanted = {clip.name for clip in batch.clips} & self.probed.keys()
        self.waveforms |= {c.name: c.samples for c in batch.clips if c.name in wanted}

    def _decode(self, chunk: EncodedBatch) -> list[ClipCaption]:
        return decode(self.captioner, chunk, self.options, self.seed)

    def result(self, clips: ClipSet) -> EncodedClips:
        """Put together what was found of them; the fewer clips that are broken are left out."""
        names = [caption.file_name for _, found in self.broken for caption in found]
        finite = len(names) <= len(self.captions)
        if finite:
            self.skipped += [SkippedClip(name, NOT_FINITE, "non-finite-scores") for name in names]
        else:
            # Nearly all are broken: they are what there is to diagnose.
            for chunk, found in self.broken:
                self.captions.extend(found)
                self.chunks.append(chunk)
        left_out = set(names) if finite else set()
        order = [n for n in self.probed if n in self.waveforms and n not in left_out]
        return EncodedClips(
            audio=AudioSummary(
                clips.folder,
                len(self.captions),
                0.0 if isinstance(clips, FeatureSet) else self.seconds,
                _sorted(self.skipped),
                clips.described if isinstance(clips, FeatureSet) else None,
            ),
            captions=tuple(sorted(self.captions, key=lambda caption: caption.file_name)),
            chunks=tuple(self.chunks),
            digests=tuple(self.digests),
            finite=finite,
            sample=Sample(
                tuple(order),
                tuple(self.waveforms[name] for name in order),
                self.captioner.sample_rate,
                tuple(self.probed[name] for name in order),
            ),
            broken=tuple(sorted(names)),
            clip_set=clips,
            lengthened=tuple(sorted(self.lengthened)),
        )


def draw_sample(audio: ClipSource, sample_rate: int, count: int, seed: int) -> Sample:
    """Read a few clips, drawn by the seed; unusable files are left out.

    Args:
        audio: a folder, or its clips.
        sample_rate: Hz of the waveforms.
        count: the most clips.
        seed: of the draw.

    Raises:
        CapfixError: no such folder or no audio in it.
    """
    chosen, _ = open_clips(audio).split(count, seed)
    read = [(clip, read_waveform(clip, sample_rate)) for clip in chosen]
    kept = [(clip, one) for clip, one in read if not isinstance(one, SkippedClip)]
    return Sample(
        tuple(clip.name for clip, _ in kept),
        tuple(one.samples for _, one in kept),
        sample_rate,
        tuple(clip for clip, _ in kept),
    )


def _part(
    captioner: Captioner, chunk: EncodedBatch
) -> tuple[EncodedBatch | None, EncodedBatch | None]:
    """Part a chunk into clips with finite numbers and those without."""
    bad = set(rows_not_finite(captioner, chunk))
    if not bad:
        return chunk, None
    parts = [row for row in range(len(chunk.names)) if row not in bad], sorted(bad)
    good, broken = (
        EncodedBatch(
            tuple(chunk.names[row] for row in rows),
            nested.select(chunk.memory, torch.tensor(rows), captioner.memory_batch_dim),
        )
        if rows
        else None
        for rows in parts
    )
    return good, broken


def _sorted(skipped: Sequence[SkippedClip]) -> tuple[SkippedClip, ...]:
    return tuple(sorted(skipped, key=lambda clip: clip.path))


@contextlib.contextmanager
def memory_told(clips: int) -> Iterator[None]:
    """Turn a device that runs out of memory into a line that says what to lower.

    Raises:
        CapfixError: in place of ``torch.OutOfMemoryError``.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise CapfixError(
            f"The device's memory does not hold {clips} clips decoded at once.",
            "Give a smaller --batch-size, or fewer beams or candidates.",
        ) from error


def encode(captioner: Captioner, batch: Batch) -> EncodedBatch:
    """Encode a batch into the memory that every decoding of it reuses.

    Raises:
        CapfixError: the device's memory does not hold it.
    """
    return encode_by(batch.names, lambda: captioner.encode(batch.waveforms, batch.lengths))


def encode_by(names: Sequence[str], call: Callable[[], Memory]) -> EncodedBatch:
    """Make a batch's memory, of waveforms or of features, in the one way that all share.

    Args:
        names: of the clips.
        call: gives their memory.

    Raises:
        CapfixError: the device's memory does not hold it.
    """
    with memory_told(len(names)), torch.inference_mode():
        return EncodedBatch(tuple(names), call())


@torch.inference_mode()
def rows_not_finite(captioner: Captioner, chunk: EncodedBatch) -> list[int]:
    """Find the clips of a batch that the captioner gives no usable numbers for.

    That is a memory that holds a NaN or an infinity, or first scores of which none is a finite
    number, any is NaN or any is +inf; -inf alone may mask a word.
    """
    if _finite(captioner, chunk.memory):
        return []
    dim = captioner.memory_batch_dim
    return [
        row
        for row in range(len(chunk.names))
        if not _finite(captioner, nested.select(chunk.memory, torch.tensor([row]), dim))
    ]


def _finite(captioner: Captioner, memory: Memory) -> bool:
    if not nested.all_finite(memory):
        return False
    scores, _ = captioner.open(captioner.prepare(memory))
    # A row's largest score is finite unless one is NaN or +inf, or all are -inf.
    return bool(scores.amax(dim=1).isfinite().all())
