"""One pass over the audio: greedy captions of every clip, memories of a bounded sample."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from capfix_cli.audio.audio_batches import Batch, iterate_batches, read_waveform
from capfix_cli.audio.audio_files import Clip, read_headers
from capfix_cli.audio.clip_sample import PROBED, Sample
from capfix_cli.captioners.base import Captioner, Memory
from capfix_cli.core.errors import CapfixError
from capfix_cli.core.progress import ProgressCallback, no_progress
from capfix_cli.decoding import nested_tensors as nested
from capfix_cli.decoding.decode import EncodedBatch, decode
from capfix_cli.decoding.decoding_options import GREEDY, DecodingOptions
from capfix_cli.schemas.records import AudioSummary, ClipCaption, SkippedClip

# Clips whose memories are kept for trials and listening. Bits then have a standard error of
# about 1.5 / sqrt(256) = .1, and memory does not grow with the folder.
SAMPLE = 256

NO_SAMPLE = Sample((), (), 1)


@dataclass(frozen=True)
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
    """

    audio: AudioSummary
    captions: tuple[ClipCaption, ...]
    chunks: tuple[EncodedBatch, ...]
    digests: tuple[bytes, ...]
    finite: bool
    sample: Sample = NO_SAMPLE
    broken: tuple[str, ...] = ()


NOT_FINITE = "the captioner's scores for it are not finite numbers"


def encode_and_caption(
    captioner: Captioner,
    folder: str,
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
        folder: of audio files.
        batch_size: clips.
        seed: of the sample and of draws.
        options: how to decode; greedy for a diagnosis.
        sample: how many clips' memories are kept; they are batched among themselves.
        only_sample: leave the other clips alone.
        progress: called as the work goes on.

    Raises:
        CapfixError: no such folder or no audio in it.
    """
    clips, skipped = read_headers(
        folder, lambda done, total: progress("reading audio headers", done, total)
    )
    chosen, rest = split_sample(clips, sample, seed)
    probed = {clip.name: clip for clip in chosen[:PROBED]}
    waveforms: dict[str, Tensor] = {}
    captions: list[ClipCaption] = []
    chunks: list[EncodedBatch] = []
    digests: list[bytes] = []
    broken: list[tuple[EncodedBatch, list[ClipCaption]]] = []
    seconds = 0.0
    for kept, group in ((True, chosen), (False, [] if only_sample else rest)):
        for batch in iterate_batches(
            group, captioner.sample_rate, batch_size, captioner.min_samples
        ):
            skipped.extend(batch.skipped)
            if batch.clips:
                with memory_told(len(batch.clips)):
                    chunk, bad = _part(captioner, encode(captioner, batch))
                    if bad is not None:
                        broken.append((bad, decode(captioner, bad, options, seed)))
                    if chunk is not None:
                        captions.extend(decode(captioner, chunk, options, seed))
                if chunk is not None and kept:
                    chunks.append(chunk)
                digests.extend(clip.digest for clip in batch.clips)
                seconds += sum(clip.seconds for clip in batch.clips)
                wanted = set(chunk.names if chunk is not None else ()) & probed.keys()
                waveforms |= {c.name: c.samples for c in batch.clips if c.name in wanted}
            done = len(captions) + sum(len(found) for _, found in broken)
            progress("listening and captioning", done, len(clips))
    names = [caption.file_name for _, found in broken for caption in found]
    finite = len(names) <= len(captions)
    if finite:
        skipped.extend(SkippedClip(name, NOT_FINITE, "non-finite-scores") for name in names)
    else:
        # Nearly all are broken: they are what there is to diagnose.
        for chunk, found in broken:
            captions.extend(found)
            chunks.append(chunk)
    order = [name for name in probed if name in waveforms]
    return EncodedClips(
        AudioSummary(str(folder), len(captions), seconds, _sorted(skipped)),
        tuple(sorted(captions, key=lambda caption: caption.file_name)),
        tuple(chunks),
        tuple(digests),
        finite,
        Sample(
            tuple(order),
            tuple(waveforms[name] for name in order),
            captioner.sample_rate,
            tuple(probed[name] for name in order),
        ),
        tuple(sorted(names)),
    )


def draw_sample(folder: str, sample_rate: int, count: int, seed: int) -> Sample:
    """Read a few clips of a folder, drawn by the seed; unusable files are left out.

    Raises:
        CapfixError: no such folder or no audio in it.
    """
    chosen, _ = split_sample(read_headers(folder)[0], count, seed)
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
    """Part a chunk into clips with finite scores and those without."""
    if outputs_finite(captioner, chunk.memory, len(chunk.names)):
        return chunk, None
    parts: list[list[int]] = [[], []]
    for row in range(len(chunk.names)):
        one = nested.select(chunk.memory, torch.tensor([row]), captioner.memory_batch_dim)
        parts[outputs_finite(captioner, one, 1)].append(row)
    bad, good = (
        EncodedBatch(
            tuple(chunk.names[row] for row in rows),
            nested.select(chunk.memory, torch.tensor(rows), captioner.memory_batch_dim),
        )
        if rows
        else None
        for rows in parts
    )
    return good, bad


def _sorted(skipped: Sequence[SkippedClip]) -> tuple[SkippedClip, ...]:
    return tuple(sorted(skipped, key=lambda clip: clip.path))


def split_sample(clips: Sequence[Clip], size: int, seed: int) -> tuple[list[Clip], list[Clip]]:
    """Part the clips into a sample drawn by the seed and the rest; small sets are sampled whole."""

    def rank(clip: Clip) -> bytes:
        key = f"{seed}/{clip.name}".encode("utf-8", "surrogateescape")
        return hashlib.blake2b(key, digest_size=8).digest()

    ranked = sorted(clips, key=rank)
    return ranked[:size], ranked[size:]


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


@torch.inference_mode()
def encode(captioner: Captioner, batch: Batch) -> EncodedBatch:
    """Encode a batch into the memory that every decoding of it reuses."""
    return EncodedBatch(tuple(batch.names), captioner.encode(batch.waveforms, batch.lengths))


@torch.inference_mode()
def outputs_finite(captioner: Captioner, memory: Memory, rows: int) -> bool:
    """Say whether a memory and the first scores it gives are finite (-inf may mask a word)."""
    if not nested.all_finite(memory):
        return False
    token = captioner.start_prefix(rows)[:, 0]
    logits, _ = captioner.step(token, captioner.start(memory), memory)
    return not bool(torch.isnan(logits).any() or torch.isposinf(logits).any())
