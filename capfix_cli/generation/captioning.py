"""From clips to captions, batch by batch: the same batches however the work is cut up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Protocol

from capfix_cli.audio.audio_batches import (
    USUAL_SECONDS,
    Batch,
    Waveform,
    collate,
    iterate_batches,
    plan_batches,
    read_waveform,
)
from capfix_cli.audio.audio_files import Clip
from capfix_cli.captioners.base import Captioner
from capfix_cli.core.randomness import drawn_order
from capfix_cli.decoding.decode import EncodedBatch, decode
from capfix_cli.decoding.decoding_options import DecodingOptions
from capfix_cli.decoding.encode_pass import encode, memory_told, rows_not_finite
from capfix_cli.decoding.null_audio import NullAudio, make_absent
from capfix_cli.schemas.clip_records import ClipCaption, SkippedClip

ABSENT_CLIPS = 32  # from which "no audio" is made: the most that one usual batch holds


@dataclass(frozen=True)
class Captioned:
    """What came of a batch.

    Attributes:
        captions: of its usable clips.
        skipped: its files that are none.
        non_finite: clips for which the captioner gave no usable numbers.
        lengthened: clips that zeros were added to, for the captioner's minimum.
    """

    captions: tuple[ClipCaption, ...]
    skipped: tuple[SkippedClip, ...]
    non_finite: int = 0
    lengthened: int = 0


class ClipWriter(Protocol):
    """Whoever captions clips."""

    def captions(
        self, clips: Sequence[Clip], shares: Sequence[Sequence[Clip]]
    ) -> Iterator[Captioned]:
        """Caption the clips of some shares, giving what came of each batch.

        Args:
            clips: of the folder.
            shares: as :func:`deal` gives them.
        """


@dataclass(frozen=True)
class ModelWriter:
    """Captions clips by a captioner that is run.

    Attributes:
        captioner: in eval mode.
        options: how to decode.
        batch_size: clips.
        seed: of draws.
    """

    captioner: Captioner
    options: DecodingOptions
    batch_size: int
    seed: int

    def captions(
        self, clips: Sequence[Clip], shares: Sequence[Sequence[Clip]]
    ) -> Iterator[Captioned]:
        """Caption the clips of some shares."""
        absent = find_absent(self.captioner, clips, self.options, self.seed)
        return caption(
            self.captioner,
            shares,
            self.options,
            batch_size=self.batch_size,
            seed=self.seed,
            absent=absent,
        )


def deal(
    clips: Sequence[Clip], done: Set[str], batch_size: int, rank: int = 0, world: int = 1
) -> list[list[Clip]]:
    """Give a process its share of what is left to do, in two parts that are batched apart.

    Whole batches are dealt out, as :func:`plan_batches` makes them of all clips: planned again
    from any number of them they are the same, so that a clip is captioned in the same company
    whoever does it and whenever. Clips of batches that were done in part come first, among
    themselves.

    Args:
        clips: of the folder.
        done: names of those that have a caption.
        batch_size: clips.
        rank: of the process, from 0.
        world: how many processes there are.

    Returns:
        Two lists of clips: the rest of batches done in part, and whole batches.
    """
    whole: list[list[Clip]] = []
    rest: list[Clip] = []
    for batch in plan_batches(clips, batch_size):
        left = [clip for clip in batch if clip.name not in done]
        if len(left) == len(batch):
            whole.append(batch)
        else:
            rest += left
    return [rest[rank::world], [clip for batch in whole[rank::world] for clip in batch]]


def caption(
    captioner: Captioner,
    shares: Sequence[Sequence[Clip]],
    options: DecodingOptions,
    *,
    batch_size: int,
    seed: int,
    absent: NullAudio | None,
) -> Iterator[Captioned]:
    """Caption clips, giving what came of each batch and keeping nothing of it.

    Args:
        captioner: in eval mode.
        shares: as :func:`deal` gives them.
        options: how to decode.
        batch_size: clips.
        seed: of draws.
        absent: as :func:`find_absent` gives it.

    Raises:
        CapfixError: the device's memory does not hold a batch.
    """
    first = True
    for share in shares:
        for batch in iterate_batches(
            share, captioner.sample_rate, batch_size, captioner.min_samples
        ):
            if not batch.clips:
                yield Captioned((), batch.skipped)
                continue
            chunk, captions = _caption(captioner, batch, options, seed, absent)
            # Scores that are no numbers leave nothing to say, or are there from the first batch on.
            look = first or any(not caption.text for caption in captions)
            count = len(rows_not_finite(captioner, chunk)) if look else 0
            short = sum(clip.lengthened for clip in batch.clips)
            yield Captioned(tuple(captions), batch.skipped, count, short)
            first = False


def _caption(
    captioner: Captioner,
    batch: Batch,
    options: DecodingOptions,
    seed: int,
    absent: NullAudio | None,
) -> tuple[EncodedBatch, list[ClipCaption]]:
    with memory_told(len(batch.clips)):
        chunk = encode(captioner, batch)
        return chunk, decode(captioner, chunk, options, seed, absent)


def find_absent(
    captioner: Captioner, clips: Sequence[Clip], options: DecodingOptions, seed: int
) -> NullAudio | None:
    """Make what stands for "no audio", once for all batches; None where nothing asks for it.

    The clips that it is made of depend on the folder and the seed alone, so that every process
    and every resumption contrasts with the same.

    Args:
        captioner: in eval mode.
        clips: of the folder, in any order.
        options: say whether anything is contrasted with, and of which kind it is.
        seed: of the draw.

    Raises:
        CapfixError: other clips are asked for, and but one can be used.
    """
    kind = options.absent_kind
    if kind is None:
        return None
    if kind in {"silence", "noise"}:
        return make_absent(captioner, kind, None, 0, seed)
    batch = collate(_sample(captioner, clips, seed))
    if not batch.clips:
        return None  # none of the clips can be used, nor captioned
    memory = encode(captioner, batch).memory
    return make_absent(captioner, kind, memory, len(batch.clips), seed)


def _sample(captioner: Captioner, clips: Sequence[Clip], seed: int) -> list[Waveform]:
    """Read usable clips in an order drawn by the seed, no more than one batch may hold."""
    found: list[Waveform] = []
    longest = 0.0
    for place in drawn_order([clip.name for clip in clips], seed, "absent"):
        clip = clips[place]
        longest_then = max(longest, clip.seconds)
        padded = (len(found) + 1) * longest_then
        if len(found) >= 2 and padded > ABSENT_CLIPS * USUAL_SECONDS:
            continue
        waveform = read_waveform(clip, captioner.sample_rate, captioner.min_samples)
        if isinstance(waveform, Waveform):
            found.append(waveform)
            longest = longest_then
        if len(found) == ABSENT_CLIPS:
            break
    return found
