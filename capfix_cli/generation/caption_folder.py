"""One pass over a folder, written as it goes: resumable, and shared among processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from capfix_cli.audio.clip_set import ClipSource, open_clips
from capfix_cli.captions.captions_file import Predicted, predicted, printable
from capfix_cli.core.errors import CapfixError
from capfix_cli.core.progress import ProgressCallback
from capfix_cli.decoding.decoding_options import DecodingOptions
from capfix_cli.generation.captioning import Captioned, ClipWriter, deal
from capfix_cli.generation.distributed import ProcessGroup
from capfix_cli.generation.manifest import GenerationManifest
from capfix_cli.generation.partial_output import (
    Part,
    captioned_names,
    check_parts,
    part_path,
    part_paths,
)
from capfix_cli.generation.publishing import find_lines, publish
from capfix_cli.schemas.clip_records import ClipCaption, SkippedClip, count_reasons


def ignored(captions: Sequence[ClipCaption]) -> None:
    """Show nothing."""


@dataclass
class Delivery:
    """Where captions go, and how far they have come.

    Attributes:
        output: the file to make; None hands captions to ``show`` alone.
        show: called with the captions of every batch of this process.
        each: called with every row of the finished output in order.
        clips: of the folder, once they are counted.
        kept: captions that are safe in side files.
        found: of these, those that were there at the start.
    """

    output: Path | None = None
    show: Callable[[Sequence[ClipCaption]], None] = ignored
    each: Callable[[Predicted], None] | None = None
    clips: int = 0
    kept: int = 0
    found: int = 0


@dataclass(frozen=True)
class Generated:
    """What a pass came to.

    Attributes:
        clips: that have a caption.
        skipped: files that have none, with the reason, by path.
        empty: captions of this pass without a word.
        unended: captions of this pass that were cut off at the longest length.
        non_finite: clips of this pass whose scores were no numbers.
        lengthened: clips of this pass that zeros were added to, for the captioner's minimum.
        made: captions of this pass.
        captions: by file name, where nobody else took them.
    """

    clips: int
    skipped: tuple[SkippedClip, ...]
    empty: int = 0
    truncated: int = 0
    non_finite: int = 0
    lengthened: int = 0
    made: int = 0
    captions: tuple[ClipCaption, ...] = ()


@dataclass
class _Counts:
    """What a process counts on the way."""

    made: int = 0
    empty: int = 0
    truncated: int = 0
    non_finite: int = 0
    lengthened: int = 0
    skipped: list[SkippedClip] = field(default_factory=list)

    def add(self, batch: Captioned) -> None:
        self.made += len(batch.captions)
        self.empty += sum(not caption.text for caption in batch.captions)
        self.truncated += sum(not caption.ended for caption in batch.captions)
        self.non_finite += batch.non_finite
        self.lengthened += batch.lengthened

    def to_dict(self) -> dict[str, Any]:
        names = ("made", "empty", "truncated", "non_finite", "lengthened")
        return {name: getattr(self, name) for name in names}


def caption_folder(
    writer: ClipWriter,
    audio: ClipSource,
    made: GenerationManifest,
    options: DecodingOptions,
    *,
    batch_size: int,
    delivery: Delivery,
    team: ProcessGroup,
    progress: ProgressCallback,
) -> Generated:
    """Caption every clip of a folder.

    Args:
        writer: captions clips.
        audio: a folder, or its clips.
        made: the seed, and what else decides the captions.
        options: how to decode.
        batch_size: clips.
        delivery: where captions go; filled in on the way.
        team: the processes that share the work.
        progress: called as the work goes on.

    Raises:
        CapfixError: whatever the user can mend: no usable clip, no scores that are numbers, no
            room, another command's side file, another process that died.
    """
    found = open_clips(audio, progress)
    folder, clips, unread = found.folder, found.clips, found.skipped
    delivery.clips = len(clips)
    if not clips:
        raise _unusable(folder, unread)
    with ExitStack() as stack:
        part, done = _open(stack, made, delivery, team)
        names = set(found.names)
        delivery.kept = delivery.found = len(done & names)
        counts = _Counts()
        shares = deal(clips, done, batch_size, team.rank, team.world)
        for batch in writer.captions(clips, shares) if any(shares) else ():
            _deliver(batch, counts, part, delivery)
            team.done += len(batch.captions)
            delivery.kept = delivery.found + team.done + team.others_done
            progress("captioning", delivery.kept, len(clips))
        if part is None:
            return _generated(folder, counts.made, [*unread, *counts.skipped], [counts])
        if team.rank:
            part.close()  # rank 0 takes it from here
        everyone = [_Counts(**result) for result in team.report(counts.to_dict())]
        if team.rank:
            return Generated(0, ())
        return _merge(
            folder, names, unread, options, delivery=delivery, everyone=everyone, team=team
        )


def _deliver(batch: Captioned, counts: _Counts, part: Part | None, delivery: Delivery) -> None:
    """Count a batch's captions, write them down and show them.

    Raises:
        CapfixError: no score so far is a number.
    """
    counts.add(batch)
    if not delivery.kept and counts.non_finite and counts.non_finite == counts.made:
        raise CapfixError(
            "The model gives no score that is a number: there is nothing to caption by.",
            "`capfix diagnose MODEL --audio DIR` says what is broken.",
        )
    if part is not None:
        part.append(map(predicted, batch.captions), batch.skipped)
    else:
        counts.skipped.extend(batch.skipped)
    delivery.show(batch.captions)


def _open(
    stack: ExitStack, made: GenerationManifest, delivery: Delivery, team: ProcessGroup
) -> tuple[Part | None, set[str]]:
    """Open this process's side file, after all have read which clips are done."""
    output = delivery.output
    if output is None:
        return None, set()
    part: Part | None = None
    done: set[str] = set()
    with team.together():
        check_parts(output, made)
        done = captioned_names(output)
    with team.together():
        if not team.rank:
            part = stack.enter_context(Part(output, made))
    with team.together():
        if team.rank and not part_path(output).exists():
            raise CapfixError(
                f"Process {team.rank} does not see {part_path(output)}, which process 0 writes.",
                "Let --output be in a folder that all nodes share.",
            )
        if team.rank:
            part = stack.enter_context(Part(output, made, team.rank))
    return part, done


def _merge(
    folder: str,
    names: set[str],
    unread: Sequence[SkippedClip],
    options: DecodingOptions,
    *,
    delivery: Delivery,
    everyone: Sequence[_Counts],
    team: ProcessGroup,
) -> Generated:
    """Make the output of all side files, then let them go."""
    assert delivery.output is not None
    parts = part_paths(delivery.output)
    lines, skipped = find_lines(parts, names)
    if lines:
        publish(delivery.output, parts, lines, options.num_return_sequences, delivery.each)
    for path in parts:
        path.unlink(missing_ok=True)
    generated = _generated(folder, len(lines), [*unread, *skipped.values()], everyone)
    team.release()
    return generated


def _generated(
    folder: str, clips: int, skipped: Sequence[SkippedClip], everyone: Sequence[_Counts]
) -> Generated:
    if not clips:
        raise _unusable(folder, skipped)
    sums = [
        sum(getattr(counts, name) for counts in everyone)
        for name in ("empty", "truncated", "non_finite", "lengthened", "made")
    ]
    return Generated(clips, tuple(sorted(skipped, key=lambda clip: clip.path)), *sums)


def _unusable(folder: str, skipped: Sequence[SkippedClip]) -> CapfixError:
    first = min(skipped, key=lambda clip: clip.path)
    why = f"{first.path}: {first.reason}"
    if len(skipped) > 1:
        why = f"{why}; {count_reasons(skipped)}"
    return CapfixError(
        f"No file of {folder} can be captioned ({printable(why)}).",
        "Give a folder with usable clips.",
    )
