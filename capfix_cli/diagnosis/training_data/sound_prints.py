"""What a clip sounds like in a few numbers: enough to see that two are copies, or go together."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from capfix_cli.audio.audio_batches import iterate_batches
from capfix_cli.audio.clip_set import ClipSource, open_clips
from capfix_cli.captions.clip_names import pair_names
from capfix_cli.schemas.clip_records import SkippedClip

RATE = 16_000  # Hz
BANDS = 32  # mel bands
STRETCHES = 48  # of a clip, for its course in time
COARSE = 8  # bands of that course
MOST_CLIPS = 2_000  # that are listened to; some 2 to 5 ms each for clips of 5 s
STEADY = 1.0  # nats over all of a course: less is a tone without end, alike to any other
LEAST_FRAMES = 12  # of 32 ms; a shorter clip has no course to speak of
FLOOR = 1e-6  # of the peak's power: what is softer counts as silence

Progress = Callable[[str, int, int], None]  # what, done, in all
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SoundPrints:
    """What the clips of a folder sound like.

    Attributes:
        names: of the clips.
        seconds: [clips] length.
        digests: of their samples; equal for equal audio.
        colour: [clips, 64] mean and deviation over time of each mel band, in nats.
        course: [clips, 384] level of 8 bands in 48 stretches of the clip, each band's of mean 0
            and all of length 1, so that the product of two is their correlation; loudness is gone.
            Zero where a clip is steady or shorter than .4 s: it would be like any other.
        skipped: files that cannot be used.
        left_out: captioned clips beyond the most that are listened to.
    """

    names: tuple[str, ...]
    seconds: Floats
    digests: tuple[bytes, ...]
    colour: Floats
    course: Floats
    skipped: tuple[SkippedClip, ...] = ()
    left_out: int = 0


def listen(
    audio: ClipSource, wanted: Sequence[str], progress: Progress | None = None
) -> tuple[SoundPrints, dict[str, str]]:
    """Listen to the clips that the training file names.

    Args:
        audio: the training clips' folder, or its clips.
        wanted: names in the training file, in its order; they mean the clips that
            :func:`capfix_cli.captions.clip_names.pair_names` says.
        progress: told while reading.

    Returns:
        The prints, in the order of ``wanted``, and name in the folder -> name in the file. Of
        more than 2,000 clips the first and the last thousand are taken: rows stay neighbours.

    Raises:
        CapfixError: no such folder, or no audio file in it.
    """
    clips = open_clips(audio)
    skipped = list(clips.skipped)
    by_clip = pair_names(wanted, clips.names).by_clip
    there = {by_clip[clip.name]: clip for clip in clips.clips if clip.name in by_clip}
    pairs = [(name, there[name]) for name in wanted if name in there]
    left_out = max(0, len(pairs) - MOST_CLIPS)
    if left_out:
        pairs = pairs[: MOST_CLIPS // 2] + pairs[-MOST_CLIPS // 2 :]
    known = {clip.name: name for name, clip in pairs}
    place = {name: number for number, name in enumerate(known)}
    found: dict[str, tuple[float, bytes, Floats, Floats]] = {}
    mels = _mels()
    for batch in iterate_batches([clip for _, clip in pairs], RATE, 16):
        skipped.extend(batch.skipped)
        for heard in batch.clips:
            found[heard.name] = (heard.seconds, heard.digest, *_print(mels(heard.samples)))
        if progress is not None:
            progress("listening to training clips", len(found), len(pairs))
    names = sorted(found, key=place.__getitem__)
    rows = [found[name] for name in names]
    return SoundPrints(
        tuple(names),
        np.array([row[0] for row in rows], dtype=np.float32),
        tuple(row[1] for row in rows),
        np.stack([row[2] for row in rows]) if rows else np.zeros((0, 2 * BANDS), np.float32),
        np.stack([row[3] for row in rows])
        if rows
        else np.zeros((0, STRETCHES * COARSE), np.float32),
        tuple(skipped),
        left_out,
    ), known


def _mels() -> Callable[[Tensor], Tensor]:
    import torchaudio

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 32 bands of 1,024 points: the lowest may be narrow
        mel = torchaudio.transforms.MelSpectrogram(
            sample_rate=RATE, n_fft=1024, hop_length=512, n_mels=BANDS, norm="slaney"
        )

    def spectrum(samples: Tensor) -> Tensor:
        """[samples] -> [bands, frames] in nats."""
        short = max(0, 1024 - samples.shape[0])
        samples = samples / samples.abs().max().clamp(min=1e-9)
        with torch.inference_mode():
            level: Tensor = mel(torch.nn.functional.pad(samples, (0, short)))
        return torch.log(level + FLOOR)

    return spectrum


def _print(mels: Tensor) -> tuple[Floats, Floats]:
    """[bands, frames] -> colour and course."""
    colour = torch.cat((mels.mean(dim=1), mels.std(dim=1, correction=0)))
    small = torch.nn.functional.adaptive_avg_pool2d(mels[None], (COARSE, STRETCHES))[0]
    # Every band's own mean is taken off: steady rain and a helicopter have the same spectrum, but
    # only a copy rises and falls with the original.
    course = (small - small.mean(dim=1, keepdim=True)).flatten()
    length = course.norm()
    course = course / length if length > STEADY and mels.shape[1] >= LEAST_FRAMES else course * 0
    return colour.numpy().astype(np.float32), course.numpy().astype(np.float32)
