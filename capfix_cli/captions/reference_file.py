"""What people say of clips, from a file of any layout, and which clips of a folder it is of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from capfix_cli.captions.caption_layouts import (
    EVERY,
    CaptionFile,
    Columns,
    read_caption_file,
    shown,
)
from capfix_cli.captions.captions_file import printable
from capfix_cli.captions.clip_names import pair_names
from capfix_cli.core.errors import CapfixError

LAYOUT = "One row a clip: file_name,caption_1,caption_2,… or one row a caption: file_name,caption."


@dataclass(frozen=True, eq=False)
class ReferenceFile(Mapping[str, list[str]]):
    """Clips and what people say of them: a mapping from a clip's name in the file to its texts.

    Attributes:
        path: of the file, as given.
        captions: name -> at least one text, none of them empty, both in the file's order.
        notes: what a reader must know about how the file was read.
    """

    path: str
    captions: Mapping[str, list[str]]
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> list[str]:
        return self.captions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.captions)

    def __len__(self) -> int:
        return len(self.captions)


def read_references(
    path: str | Path, columns: Columns = EVERY, *, named: bool = True
) -> ReferenceFile:
    """Read what people say of each clip, in any layout that ``capfix measure`` reads.

    Predictions beside it are left out. In a file that has one column of captions and no more they
    are taken for people's, whatever the column is called.

    Args:
        path: of the file.
        columns: where they are not to be guessed; ``columns.caption`` is people's as well.
        named: refuse a file that does not say which clip a row is of.

    Raises:
        CapfixError: unreadable, without a column of captions or with none in it, or without names.
    """
    if columns.caption is not None:
        columns = Columns(None, (*columns.references, columns.caption), columns.id)
    file = read_caption_file(path, columns, LAYOUT)
    if named and not file.used.ids:
        raise CapfixError(
            f"{path} has no column that names the clip, such as file_name;"
            f" it has {shown(file.names)}.",
            LAYOUT,
        )
    captions, notes = _of_people(file)
    if not captions:
        raise CapfixError(f"{path} has no captions.", "Each row needs a file_name and a caption.")
    silent = len(file.clips) - len(captions)
    if silent:
        notes.append(f"{silent} clips left out: no caption")
    return ReferenceFile(str(path), captions, (*file.notes, *notes))


def _of_people(file: CaptionFile) -> tuple[dict[str, list[str]], list[str]]:
    """Choose what people say in a file: references, or all there is where there are none."""
    beside = any(clip.references for clip in file.clips.values())
    predicted = file.used.caption
    notes = []
    if beside and predicted is not None:
        notes.append(
            f"the column of predictions was left out ({predicted}): references are what people say"
        )
    elif predicted is not None and predicted.lower() != "caption":
        notes.append(f"no references in it: its column {predicted} stands for what people say")
    texts = {
        name: [text for text in (clip.references if beside else clip.said) if text.strip()]
        for name, clip in file.clips.items()
    }
    return {name: found for name, found in texts.items() if found}, notes


@dataclass(frozen=True)
class ReferenceFit:
    """How a file of references fits the clips of a folder.

    Attributes:
        path: of the file.
        matched: clip -> its references, in the order of the clips; clips without are absent.
        clips: how many clips there are.
        unused: names in the file that are of no clip.
        ambiguous: clips that several names in the file could mean.
    """

    path: str
    matched: dict[str, list[str]]
    clips: int
    unused: tuple[str, ...] = ()
    ambiguous: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """Say in one line what does not fit, with the counts; empty where everything does."""
        found = len(self.matched)
        if found == self.clips and not self.unused:
            return ""
        text = f"References for {found} of {self.clips} clips in {self.path}"
        more = []
        if found < self.clips:
            more.append("what is judged on references is judged on these clips alone")
        if self.ambiguous:
            more.append(
                f"{len(self.ambiguous)} clips are left out since several names in the file end"
                f" alike ({printable(self.ambiguous[0])})"
            )
        if self.unused:
            more.append(
                f"{len(self.unused)} names in it are of no clip here ({printable(self.unused[0])})"
            )
        return f"{text}: {'; '.join(more)}."


def fit_references(
    references: Mapping[str, Sequence[str]], names: Iterable[str], path: str | Path
) -> ReferenceFit:
    """Find each clip's references by its name (:func:`capfix_cli.captions.clip_names.pair_names`).

    Args:
        references: name in the file -> texts.
        names: of the clips, as paths in their folder.
        path: of the file, for messages.

    Raises:
        CapfixError: none of the clips has any.
    """
    names = list(names)
    pairs = pair_names(references, names)
    if not pairs.by_clip:
        told = printable(next(iter(references), "none"))
        here = printable(names[0] if names else "none")
        raise CapfixError(
            f"None of the {len(names)} clips has a reference in {path}:"
            f" it names {told}, the folder has {here}.",
            "file_name must be the clip's path in the audio folder, or its bare name.",
        )
    matched = {clip: list(references[name]) for clip, name in pairs.by_clip.items()}
    return ReferenceFit(str(path), matched, len(names), pairs.unused, pairs.ambiguous)


def match_references(
    references: Mapping[str, Sequence[str]], names: Iterable[str], path: str | Path
) -> dict[str, list[str]]:
    """Give clip -> its references, as :func:`fit_references` finds them.

    Raises:
        CapfixError: none of the clips has any.
    """
    return fit_references(references, names, path).matched
