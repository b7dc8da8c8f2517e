"""Near-duplicates: clips that are in the training set more than once, and captions likewise."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from capfix_cli.core.thresholds import (
    COPIED_AUDIO_SHARE,
    COPY_CORRELATION,
    COPY_SECONDS,
    MIN_CLIPS,
)
from capfix_cli.diagnosis.training_data.content_words import words_of
from capfix_cli.diagnosis.training_data.data_findings import Examined, ListedRow, found, not_tested
from capfix_cli.diagnosis.training_data.sound_prints import SoundPrints
from capfix_cli.diagnosis.training_data.training_file import TrainingSet
from capfix_cli.measures.modes import find_modes
from capfix_cli.schemas.clip_records import ClipCaption
from capfix_cli.schemas.measured_values import Evidence

AUDIO, AUDIO_TITLE = "near-duplicates.audio", "Is each training clip there once?"
CAPTIONS, CAPTIONS_TITLE = "near-duplicates.captions", "How many clips share a caption?"
MOST_MODES = 5
BLOCK = 500


def find_copied_audio(
    data: TrainingSet, prints: SoundPrints | None, listed_as: Mapping[str, str]
) -> Examined:
    """List clips whose samples, or whose course in time at the same length, are another's.

    Copies with different captions are contradictions to learn from; copies in training and test
    sets are told by digest only where both folders are given, which is not asked for here.
    """
    if prints is None or len(prints.names) < 2:
        return not_tested(AUDIO, AUDIO_TITLE, "the training audio (--train-audio)"), ()
    texts = dict(zip(data.names, data.captions, strict=True))
    groups = copies(prints)
    rows, copied, contradicting = [], 0, 0
    for group in groups:
        names = [listed_as.get(prints.names[place], prints.names[place]) for place in group]
        said = [{words_of(text) for text in texts.get(name, ())} for name in names]
        copied += len(group) - 1
        same = all(prints.digests[place] == prints.digests[group[0]] for place in group)
        contradicting += sum(not own & said[0] for own in said[1:])
        for name, own in zip(names[1:], said[1:], strict=True):
            how = "the same samples as" if same else "sounds like a copy of"
            other = ", with other captions" if not own & said[0] else ""
            first = texts.get(name, ("",))[0]
            rows.append(ListedRow(name, first, f"{how} {names[0]}{other}"))
    share = copied / len(prints.names)
    evidence = [
        Evidence(
            "clips that copy another",
            share,
            COPIED_AUDIO_SHARE.unit,
            COPIED_AUDIO_SHARE.value,
            COPIED_AUDIO_SHARE.source,
        ),
        Evidence("copies with none of the original's captions", contradicting, "clips"),
    ]
    if prints.left_out:
        evidence.append(
            Evidence("clips not listened to, beyond the most that are", prints.left_out, "clips")
        )
    if prints.skipped:
        evidence.append(Evidence("audio files that cannot be used", len(prints.skipped), "files"))
    suspect = share > COPIED_AUDIO_SHARE.value
    summary = f"{copied} of {len(prints.names)} clips copy another"
    return found(
        AUDIO, AUDIO_TITLE, suspect=suspect, evidence=evidence, rows=rows, summary=summary
    ), ()


def copies(prints: SoundPrints) -> list[list[int]]:
    """Group clips that are one recording: equal samples, or equal course at equal length."""
    parent = list(range(len(prints.names)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    first: dict[bytes, int] = {}
    for place, digest in enumerate(prints.digests):
        parent[root(place)] = root(first.setdefault(digest, place))
    for start in range(0, len(parent), BLOCK):
        rows = slice(start, start + BLOCK)
        alike = prints.course[rows] @ prints.course.T >= COPY_CORRELATION.value
        gap = np.abs(prints.seconds[rows, None] - prints.seconds[None])
        for one, other in np.argwhere(alike & (gap <= COPY_SECONDS.value)).tolist():
            low, high = sorted((root(start + one), root(other)))
            parent[high] = low
    groups: dict[int, list[int]] = defaultdict(list)
    for place in range(len(parent)):
        groups[root(place)].append(place)
    return [group for group in groups.values() if len(group) > 1]


def find_shared_captions(data: TrainingSet) -> Examined:
    """Tell how many clips have a caption that another clip has, and the commonest wordings.

    It accuses nothing: in a closed world clips rightly share captions. What of it is a fault is
    imbalance.
    """
    if len(data.names) < MIN_CLIPS.value:
        needs = f"{MIN_CLIPS.value:g} clips; it has {len(data.names)}"
        return not_tested(CAPTIONS, CAPTIONS_TITLE, needs), ()
    owners: dict[tuple[str, ...], set[int]] = defaultdict(set)
    for clip, texts in enumerate(data.captions):
        for text in texts:
            owners[words_of(text)].add(clip)
    shared = [words for words, clips in owners.items() if len(clips) > 1]
    sharing = set().union(*(owners[words] for words in shared)) if shared else set()
    evidence = [
        Evidence(
            "clips with a caption that another clip has",
            len(sharing) / len(data.names),
            "share of clips",
        )
    ]
    first = [
        ClipCaption(name, texts[0]) for name, texts in zip(data.names, data.captions, strict=True)
    ]
    evidence += [
        Evidence(f"clips told like {mode.exemplar!r}", mode.share, "share of clips")
        for mode in find_modes(first)[:MOST_MODES]
    ]
    return found(
        CAPTIONS, CAPTIONS_TITLE, suspect=False, evidence=evidence, rows=_rows(data, owners)
    ), ()


def _rows(data: TrainingSet, owners: Mapping[tuple[str, ...], set[int]]) -> Sequence[ListedRow]:
    return [
        ListedRow(name, text, f"said of {len(owners[words_of(text)])} clips")
        for name, text in data.pairs
        if len(owners[words_of(text)]) > 1
    ]
