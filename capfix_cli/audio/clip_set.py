"""The clips of a folder or a list, found and measured once: whoever works on them has this."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from capfix_cli.audio.audio_files import Clip, read_headers
from capfix_cli.audio.audio_sources import PIPED, STANDARD_INPUT
from capfix_cli.core.progress import ProgressCallback, no_progress
from capfix_cli.core.randomness import drawn_order
from capfix_cli.schemas.clip_records import SkippedClip


@dataclass(frozen=True)
class ClipSet:
    """Audio files by their headers; no samples are decoded.

    Attributes:
        folder: the source as it was given: a folder, a list, a pattern, ``standard input``.
        clips: files whose header could be read and that hold samples, by path.
        skipped: the other audio files, by path, with the reason.
    """

    folder: str
    clips: tuple[Clip, ...]
    skipped: tuple[SkippedClip, ...] = ()

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def names(self) -> list[str]:
        """The clips' paths in the folder, in their order."""
        return [clip.name for clip in self.clips]

    def split(self, size: int, seed: int) -> tuple[list[Clip], list[Clip]]:
        """Part the clips into a sample drawn by the seed and the rest.

        A clip's place among others depends on its name and the seed alone, so that a folder that
        grows keeps most of its sample.

        Args:
            size: of the sample; a smaller folder is sampled whole.
            seed: of the draw.

        Returns:
            The sample and the rest, each in the order drawn.
        """
        drawn = [self.clips[place] for place in drawn_order(self.names, seed)]
        return drawn[:size], drawn[size:]


def source_path(folder: str) -> str:
    """Give where clips are from the root, as runs and recipes keep it; a pipe has no place."""
    return folder if folder in {"", PIPED} else str(Path(folder).resolve())


NO_CLIPS = ClipSet("", ())
ClipSource = str | Path | ClipSet  # where audio is, or what was found there


def open_clips(
    source: ClipSource,
    progress: ProgressCallback = no_progress,
    stage: str = "reading audio headers",
) -> ClipSet:
    """Find the clips of a folder and read their headers; a set that is open already is given back.

    Args:
        source: as :func:`capfix_cli.audio.audio_sources.find_files` takes it, or a set.
        progress: called as headers are read.
        stage: what ``progress`` is told.

    Raises:
        CapfixError: nothing there, or no audio file in it.
    """
    if isinstance(source, ClipSet):
        return source
    clips, skipped = read_headers(source, lambda done, total: progress(stage, done, total))
    label = PIPED if str(source) == STANDARD_INPUT else str(source)
    return ClipSet(label, tuple(clips), tuple(skipped))
