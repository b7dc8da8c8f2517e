"""Captions from the layouts they are kept in: one clip a row, or one caption a row.

Known layouts are capfix's and Clotho's (``file_name``, ``caption_predicted``, ``caption_1`` ...),
AudioCaps' (``youtube_id``, ``start_time``, ``caption``; several rows a clip) and COCO's results
(``image_id``, ``caption``); columns of other names are named by option.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from capfix_cli.captions.caption_rows import Row, read_rows
from capfix_cli.core.errors import CapfixError
from capfix_cli.core.randomness import stream
from capfix_cli.core.suggest import did_you_mean
from capfix_cli.schemas.clip_records import ClipCaption

PREDICTED = (
    *("caption_predicted", "predicted_caption", "caption_pred", "pred_caption", "predicted"),
    *("prediction", "predictions", "pred", "preds", "hypothesis", "hypotheses", "candidate"),
    *("candidates", "cands", "generated_caption", "caption_generated", "generated", "output"),
)
IDS = (
    *("file_name", "filename", "fname", "file", "audio_file", "audio_id", "youtube_id"),
    *("audiocap_id", "clip_id", "clip", "image_id", "video_id", "sound_id", "image_name"),
    *("video_name", "audio_name", "id", "name", "path"),
    *("file_path", "filepath", "audio_path"),
)
SAID = "caption"  # a column that may hold what a captioner or what a person said
SEVERAL = ("references", "captions", "mult_references", "refs")  # JSON: a list of texts
_REFERENCE = re.compile(r"(?:caption|reference|ref|gt)s?_?(\d+)")
_FURTHER = re.compile(r"caption_predicted_\d+")


@dataclass(frozen=True)
class Columns:
    """Which columns to use, where they are not to be guessed.

    Attributes:
        caption: holds what is judged.
        references: hold what people say.
        id: tells clips apart.
    """

    caption: str | None = None
    references: tuple[str, ...] = ()
    id: str | None = None


EVERY = Columns()


@dataclass
class CaptionTable:
    """Captions of a file, one a clip, beside the clips' references.

    Attributes:
        path: of the file, as given.
        captions: one a clip, in the file's order; further ones of the same clip in ``others``.
        references: for each of them, the clip's references; empty where it has none.
        duplicates: rows left out because their clip had one already.
        people: whether the captions judged are people's, one of a clip's references.
        notes: what a reader must know about how the file was read.
        ends: whether it says which captions came to their end token.
    """

    path: str
    captions: list[ClipCaption]
    references: list[list[str]]
    duplicates: int = 0
    people: bool = False
    notes: list[str] = field(default_factory=list)
    ends: bool = False


@dataclass
class ClipRows:
    """All that a file says of one clip.

    Attributes:
        said: what is to be judged, the first first; further captions of the same clip after it.
        references: what people say of it.
        ended: what the file says of the caption's end; None where it says nothing.
    """

    said: list[str] = field(default_factory=list)
    references: list[str] = field(default_factory=list)
    ended: Any = None


@dataclass(frozen=True)
class UsedColumns:
    """Columns as they are used.

    Attributes:
        caption: what is judged; None where there are people's captions alone.
        references: what people say.
        ids: tell clips apart; none where rows are numbered.
        further: more captions of the same clip.
    """

    caption: str | None
    references: tuple[str, ...]
    ids: tuple[str, ...]
    further: tuple[str, ...] = ()


@dataclass
class CaptionFile:
    """A file's clips in its order, before anything is made of them.

    Attributes:
        path: of the file, as given.
        names: of its columns.
        used: which of them hold what.
        clips: name -> what is said of it; ``row 7`` where the file names no clip there.
        notes: what had to be mended, and which rows name no clip.
        duplicates: rows whose clip had a caption to be judged already.
        changed: those of them that say something else than the first.
    """

    path: str
    names: list[str]
    used: UsedColumns
    clips: dict[str, ClipRows] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    duplicates: int = 0
    changed: int = 0


def read_caption_file(
    path: str | Path, columns: Columns = EVERY, hint: str | None = None
) -> CaptionFile:
    """Read a file of captions in any layout: the one way in which every command does.

    Args:
        path: CSV, TSV, JSON lines or JSON, plain or gzip, in whatever encoding.
        columns: where they are not to be guessed.
        hint: how to mend a file without a column of captions; that of ``capfix measure`` if None.

    Raises:
        CapfixError: unreadable, or no column that could be meant.
    """
    rows, notes = read_rows(path)
    names = list(dict.fromkeys(name for row in rows for name in row))
    used = _used_columns(path, names, rows, columns, hint)
    file = CaptionFile(str(path), names, used, notes=notes)
    nameless = 0
    for number, row in enumerate(rows):
        key = _key(row, used)
        if key is None:
            nameless += bool(used.ids)
            key = f"row {number + 1}"
        _add_row(file, key, row)
    if nameless:
        notes.append(f"{nameless} rows name no clip and count as one clip each")
    return file


def _add_row(file: CaptionFile, key: str, row: Row) -> None:
    """Add what one row says of the clip ``key``."""
    used = file.used
    known = file.clips.get(key)
    clip = known or file.clips.setdefault(key, ClipRows())
    if used.caption is not None:
        said = _texts(row.get(used.caption))
        if known is None:
            further = [
                text
                for name in used.further
                # The list of all captions opens with the one that was predicted.
                for text in _texts(row.get(name))[name == "captions" :]
            ]
            clip.said = [*(said or [""]), *further]
            clip.ended = row.get("ended")
        else:
            file.duplicates += 1
            file.changed += (said or [""])[0] != clip.said[0]
    for name in used.references:
        for text in _texts(row.get(name)):
            if text and (text not in clip.references or known is None):
                clip.references.append(text)


def read_captions(path: str | Path, columns: Columns = EVERY, seed: int = 0) -> CaptionTable:
    """Read the captions to be judged, one a clip, and the references beside them.

    Where nothing was predicted, one reference a clip, drawn by ``seed``, is judged in the place
    of a prediction, against the others.

    Raises:
        CapfixError: unreadable, no caption in it, or no column that could be meant.
    """
    file = read_caption_file(path, columns)
    table = CaptionTable(
        path=file.path,
        captions=[],
        references=[],
        duplicates=file.duplicates,
        people=file.used.caption is None,
        notes=file.notes,
        ends="ended" in file.names,
    )
    if file.duplicates:
        table.notes.append(
            f"{file.duplicates} rows left out: their clip had a caption already"
            + (f", another one in {file.changed} of them" if file.changed else "")
        )
    _fill(table, file, seed)
    return table


def _fill(table: CaptionTable, file: CaptionFile, seed: int) -> None:
    """Turn clips into captions and references, and refuse what holds no caption."""
    generator = stream(seed, "captions.judged-reference", len(file.clips))
    dropped = 0
    for name, clip in file.clips.items():
        references = list(clip.references)
        said = clip.said
        if table.people:
            if not references:
                dropped += 1
                continue
            said = [references.pop(int(generator.integers(len(references))))]
        others = tuple(ClipCaption(name, text) for text in said[1:] if text)
        ended = clip.ended is not False and str(clip.ended).lower() not in ("false", "0")
        table.captions.append(ClipCaption(name, said[0], ended=ended, others=others))
        table.references.append(references)
    if dropped:
        table.notes.append(f"{dropped} clips left out: no caption")
    empty = sum(not caption.text for caption in table.captions)
    if empty == len(table.captions):
        column = file.used.caption
        what = f"column {column}" if column else "every caption column"
        raise CapfixError(
            f"{table.path} has no captions: {what} is empty in all {len(file.clips)} rows.",
            "Name the column with captions by --column.",
        )
    if empty:
        table.notes.append(
            f"{empty} captions are empty; they are kept and count as one and the same caption"
        )
    if table.people:
        table.notes.append("no prediction in it: one reference a clip is judged in its place")
    without = sum(not references for references in table.references)
    if 0 < without < len(table.references):
        table.notes.append(f"{without} clips have no reference and are judged on diversity alone")


def _used_columns(
    path: str | Path,
    names: Sequence[str],
    rows: Sequence[Row],
    given: Columns,
    hint: str | None,
) -> UsedColumns:
    """Decide which columns hold what."""
    for name, option in (
        (given.caption, "--column"),
        (given.id, "--id-column"),
        *((name, "--references-columns") for name in given.references),
    ):
        if name is not None and name not in names:
            meant = did_you_mean(name, names, f"It has {shown(names)}.")
            raise CapfixError(f"{path} has no column {name!r} for {option}.", meant)
    lower = {name.lower(): name for name in reversed(names)}
    ids = _ids(lower, given)
    numbered = sorted(
        (name for name in names if _REFERENCE.fullmatch(name.lower())),
        key=lambda name: int(_REFERENCE.fullmatch(name.lower())[1]),  # type: ignore[index]
    )
    lists = [lower[name] for name in SEVERAL if name in lower]
    caption = given.caption or next((lower[word] for word in PREDICTED if word in lower), None)
    further = tuple(name for name in names if _FURTHER.fullmatch(name))
    if caption is not None and "captions" in lists and caption == "caption_predicted":
        lists.remove("captions")  # as `capfix generate` writes it: all that was predicted
        further = (*further, "captions")
    references = given.references or tuple(n for n in numbered or lists if n != caption)
    said = lower.get(SAID)
    if not references and said is not None and said != caption:
        if caption is None and not _several_rows(rows, ids):
            return UsedColumns(said, (), ids)  # one caption a clip: whoever said it, it is judged
        references = (said,)
    if caption is None and not references:
        likely = _likely(names, rows, ids)
        mend = f"Did you mean --column {likely}?" if likely else "Name the column by --column."
        wanted = "caption_predicted, and no caption_1 to judge people by"
        raise CapfixError(
            f"{path} has no column {wanted if hint is None else 'of captions'}; "
            f"it has {shown(names)}.",
            hint or mend,
        )
    return UsedColumns(caption, references, ids, tuple(n for n in further if n != caption))


def _ids(lower: dict[str, str], given: Columns) -> tuple[str, ...]:
    if given.id is not None:
        return (given.id,)
    found = next((lower[name] for name in IDS if name in lower), None)
    if found is None:
        return ()
    if found.lower() == "youtube_id" and "start_time" in lower:
        return (found, lower["start_time"])  # AudioCaps: a clip is ten seconds of a video
    return (found,)


def _key(row: Row, used: UsedColumns) -> str | None:
    parts = [str(row.get(name) if row.get(name) is not None else "").strip() for name in used.ids]
    return "_".join(parts) if parts and parts[0] else None


def _several_rows(rows: Sequence[Row], ids: Sequence[str]) -> bool:
    if not ids:
        return False
    keys = {tuple(str(row.get(name)) for name in ids) for row in rows}
    return len(keys) < len(rows)


def _likely(names: Sequence[str], rows: Sequence[Row], ids: Sequence[str]) -> str | None:
    """Guess the column of captions: the one with most words, if they are texts at all."""
    words = {
        name: sum(len(str(row.get(name) or "").split()) for row in rows[:100]) / len(rows[:100])
        for name in names
        if name and name not in ids
    }
    best = max(words, key=lambda name: words[name], default=None)
    return best if best is not None and words[best] >= 2 else None


def _texts(value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, list):
        return [str(item).strip() for item in value if item is not None]
    text = str(value).strip()
    return [text] if text else []


def shown(names: Sequence[str]) -> str:
    """Name a file's columns in a message: the first eight of them, "none" where there are none."""
    text = ", ".join(name[:40] for name in names[:8]) or "none"
    return f"{text}, ..." if len(names) > 8 else text
