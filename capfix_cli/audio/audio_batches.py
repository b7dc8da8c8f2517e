"""Batches of waveforms, several files decoded ahead of the model."""

from __future__ import annotations

import functools
import hashlib
import math
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
import torchaudio
from numpy.typing import NDArray
from torch import Tensor

from capfix_cli.audio.audio_files import Clip, is_converted, unreadable
from capfix_cli.audio.converted_audio import NotConverted, decode
from capfix_cli.core.thresholds import SILENT_PEAK
from capfix_cli.schemas.clip_records import SkippedClip

USUAL_SECONDS = 10.0  # AudioCaps' clip length; a batch holds batch_size clips of it at most
AHEAD = 2  # batches decoded while the model works on one


@dataclass(frozen=True)
class Waveform:
    """A decoded clip.

    Attributes:
        name: as in :class:`Clip`.
        samples: [samples] float32 mono at the captioner's rate; [T, W] of features.
        digest: of the samples as they are in the file; equal for equal audio.
        seconds: length.
        lengthened: whether it was shorter than the captioner's minimum and zeros were added.
    """

    name: str
    samples: Tensor
    digest: bytes
    seconds: float
    lengthened: bool = False


@dataclass(frozen=True)
class Batch:
    """Clips of similar length.

    Attributes:
        clips: what was decoded, in order.
        waveforms: [B, samples] float32, zero-padded at the end; [B, T, W] of features.
        lengths: [B] int64, samples of each clip.
        skipped: files of this batch that cannot be used.
    """

    clips: tuple[Waveform, ...]
    waveforms: Tensor
    lengths: Tensor
    skipped: tuple[SkippedClip, ...] = ()

    @property
    def names(self) -> list[str]:
        """The clips' names."""
        return [clip.name for clip in self.clips]


class ArrayClip(Clip):
    """A clip that is no file of audio, and is read in a way of its own."""

    def read(self, min_samples: int = 1) -> Waveform | SkippedClip:
        """Give what stands for its samples, [T, ...]; or why it cannot be used."""
        raise NotImplementedError


def read_waveform(clip: Clip, sample_rate: int, min_samples: int = 1) -> Waveform | SkippedClip:
    """Decode one clip to mono at ``sample_rate`` Hz, or say why it cannot be used.

    Args:
        clip: the file.
        sample_rate: Hz wanted.
        min_samples: a clip that has fewer, at that rate, gets zeros at its end up to these.

    Returns:
        [samples] float32, the mean of the channels; or the reason, for files that cannot be read,
        hold nothing, silence or numbers that are not finite.
    """
    if isinstance(clip, ArrayClip):
        return clip.read(min_samples)
    try:
        mono, rate = _decode(clip.path)
    except NotConverted as error:
        return SkippedClip(clip.name, str(error))
    except (OSError, RuntimeError) as error:
        return SkippedClip(clip.name, unreadable(error))
    samples = usable_samples(clip.name, torch.from_numpy(mono), rate, sample_rate, min_samples)
    if isinstance(samples, SkippedClip):
        return samples
    digest = hashlib.blake2b(mono.tobytes(), digest_size=12).digest()
    short = math.ceil(len(mono) * sample_rate / rate) < min_samples
    return Waveform(clip.name, samples, digest, len(mono) / rate, short)


def _decode(path: Path) -> tuple[NDArray[np.float32], int]:
    if is_converted(path):
        return decode(path)
    # As bytes: a file's name need not be text in any encoding.
    data, rate = soundfile.read(os.fsencode(path), dtype="float32", always_2d=True)
    return data.mean(axis=1), rate


def usable_samples(
    name: str, mono: Tensor, rate: int, sample_rate: int, min_samples: int = 1
) -> Tensor | SkippedClip:
    """Resample a clip, or say why it cannot be used: one rule for files and data sets.

    Args:
        name: of the clip.
        mono: [samples] float32, the mean of its channels.
        rate: Hz; 0 where it is not known.
        sample_rate: Hz wanted.
        min_samples: what has fewer, at that rate, gets zeros at its end up to these, as the
            shorter clips of a batch do: a captioner that hears a frame at a time hears one.
    """
    if mono.numel() == 0:
        return SkippedClip(name, "empty: no samples", "empty")
    if not bool(mono.isfinite().all()):
        return SkippedClip(name, "non-finite samples (NaN or infinity)", "non-finite")
    if float(mono.abs().max()) < SILENT_PEAK.value:
        return SkippedClip(name, "silent", "silent")
    if not rate:
        return SkippedClip(name, "of an unknown sample rate", "unknown-rate")
    samples: Tensor = mono if rate == sample_rate else _resampler(rate, sample_rate)(mono)
    missing = min_samples - samples.shape[0]
    return torch.nn.functional.pad(samples, (0, missing)) if missing > 0 else samples


@functools.lru_cache(maxsize=16)
def _resampler(source: int, target: int) -> torchaudio.transforms.Resample:
    # Windowed-sinc interpolation; its kernel depends on the two rates only, hence the cache.
    return torchaudio.transforms.Resample(source, target)


def plan_batches(clips: Sequence[Clip], batch_size: int) -> list[list[Clip]]:
    """Group clips by length, so that padding is short and a batch's size bounded.

    A batch has at most ``batch_size`` clips, and fewer of long ones: its padded length in all is
    that of ``batch_size`` clips of ten seconds, or one clip.

    Args:
        clips: in any order.
        batch_size: clips.

    Returns:
        Batches from the shortest clips to the longest; clips of one length go by name.
    """
    budget = batch_size * USUAL_SECONDS
    batches: list[list[Clip]] = []
    for clip in sorted(clips, key=lambda c: (c.seconds, c.name)):
        last = batches[-1] if batches else None
        # Sorted by length, so the clip that is added is the batch's longest.
        if last and len(last) < batch_size and (len(last) + 1) * clip.seconds <= budget:
            last.append(clip)
        else:
            batches.append([clip])
    return batches


def iterate_batches(
    clips: Sequence[Clip],
    sample_rate: int,
    batch_size: int,
    min_samples: int = 1,
    workers: int = 2,
) -> Iterator[Batch]:
    """Decode clips in batches of similar length; the order depends on the files only.

    At most ``AHEAD`` batches wait in memory, however many clips there are. A batch of which no
    clip can be used still comes, with none in it, so that its skipped files are told.

    Args:
        clips: in any order.
        sample_rate: Hz of the waveforms.
        batch_size: clips, as :func:`plan_batches` takes it.
        min_samples: as :func:`read_waveform` takes it.
        workers: threads that decode.

    Yields:
        Batches of [B, samples] float32 with their lengths in samples.
    """
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[list[Future[Waveform | SkippedClip]]] = deque()
        plan = iter(plan_batches(clips, batch_size))

        def enqueue() -> None:
            group = next(plan, None)
            if group is not None:
                waiting.append(
                    [pool.submit(read_waveform, clip, sample_rate, min_samples) for clip in group]
                )

        for _ in range(1 + AHEAD):
            enqueue()
        try:
            while waiting:
                outcomes = [future.result() for future in waiting.popleft()]
                enqueue()
                yield collate(outcomes)
        finally:
            for group in waiting:
                for future in group:
                    future.cancel()


def collate(outcomes: Sequence[Waveform | SkippedClip]) -> Batch:
    """Pad decoded clips to one tensor, skipped files apart.

    Args:
        outcomes: of :func:`read_waveform`.

    Returns:
        [B, samples] float32, zeros behind each clip; of shape [0, 0] where none can be used.
    """
    clips = tuple(outcome for outcome in outcomes if isinstance(outcome, Waveform))
    skipped = tuple(outcome for outcome in outcomes if isinstance(outcome, SkippedClip))
    lengths = torch.tensor([clip.samples.shape[0] for clip in clips], dtype=torch.long)
    if not clips:
        return Batch((), torch.zeros(0, 0), lengths, skipped)
    waveforms = torch.nn.utils.rnn.pad_sequence([clip.samples for clip in clips], batch_first=True)
    return Batch(clips, waveforms, lengths, skipped)
