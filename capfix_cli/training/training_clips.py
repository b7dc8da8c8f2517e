"""What is trained on, and what of the data is not."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from capfix_cli.captions.captions_file import NAMES
from capfix_cli.schemas.clip_records import SkippedClip
from capfix_cli.training.feature_cache import disk_error


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
