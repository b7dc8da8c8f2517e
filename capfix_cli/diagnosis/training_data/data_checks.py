"""All checks of the training data, in one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from capfix_cli.audio.clip_set import ClipSet, ClipSource, open_clips
from capfix_cli.captions.caption_layouts import EVERY, Columns
from capfix_cli.captions.clip_names import pair_names
from capfix_cli.core.errors import CapfixError
from capfix_cli.diagnosis.training_data.caption_imbalance import find_imbalance
from capfix_cli.diagnosis.training_data.captions_per_clip import find_single_caption
from capfix_cli.diagnosis.training_data.data_findings import Examined, TrainingData, write_rows
from capfix_cli.diagnosis.training_data.generic_captions import find_generic
from capfix_cli.diagnosis.training_data.memorisation import find_memorised
from capfix_cli.diagnosis.training_data.near_duplicates import (
    find_copied_audio,
    find_shared_captions,
)
from capfix_cli.diagnosis.training_data.shift_tests import Floats
from capfix_cli.diagnosis.training_data.shifted_pairs import Witnesses, find_shift, judge_references
from capfix_cli.diagnosis.training_data.sound_prints import Progress, SoundPrints, listen
from capfix_cli.diagnosis.training_data.training_file import TrainingSet, read_training
from capfix_cli.diagnosis.training_data.vocabulary_coverage import find_lost_words

__all__ = [
    "TrainingData",
    "check_training_audio",
    "examine_training",
    "examine_training_set",
    "write_rows",
]


def examine_training(
    captions: str | Path | TrainingSet,
    audio: ClipSource | None = None,
    vocabulary: Sequence[str] | None = None,
    predicted_captions: Mapping[str, str] | None = None,
    seed: int = 0,
    *,
    facts: Mapping[str, Any] | None = None,
    references: Mapping[str, Sequence[str]] | None = None,
    caption_scores: Floats | None = None,
    heard: ClipSource | None = None,
    columns: Columns = EVERY,
    progress: Progress | None = None,
) -> TrainingData:
    """Check the captions, and the audio where it is given, that a captioner was trained on.

    Args:
        captions: a file in any layout that ``capfix measure`` reads, or what was read from it.
        audio: folder of the clips that it names, or these; listened to, some 20 ms a clip.
        vocabulary: of the captioner, special tokens included.
        predicted_captions: file name -> caption, of any clips: memorisation; of training clips
            also shifted pairs.
        seed: of whatever is drawn.
        facts: of the checkpoint; ``training.captions_per_clip`` is used.
        references: file name -> references of the clips that were captioned, for memorisation.
        caption_scores: [clips, clips] log-probability of the first caption of the file's clip j
            given the audio of clip i.
        heard: the clips that were captioned, to hold what their sound says of their
            references against what that of the training clips says of theirs.
        columns: of a file, where they are not to be guessed.
        progress: told while listening.

    Raises:
        CapfixError: the file or the folder cannot be used, or names none of each other's clips.
    """
    data = captions if isinstance(captions, TrainingSet) else read_training(captions, columns)
    prints: SoundPrints | None = None
    listed: Mapping[str, str] = {}
    if audio is not None:
        clips = open_clips(audio)
        check_training_audio(data, clips)
        prints, listed = listen(clips, data.names, progress)
    judged = None
    if prints is not None and heard is not None and references:
        others, _ = listen(open_clips(heard), list(references), progress)
        judged = judge_references(others, references, seed)
    witnesses = Witnesses(prints, listed, predicted_captions, caption_scores, judged)
    return examine_training_set(
        data,
        witnesses,
        vocabulary,
        seed,
        facts=facts or {},
        references=references,
        progress=progress,
    )


def check_training_audio(data: TrainingSet, clips: ClipSet) -> None:
    """Refuse a folder that has none of the clips that the training file names.

    Raises:
        CapfixError: that is so.
    """
    if not pair_names(data.names, clips.names).by_clip:
        raise CapfixError(
            f"None of the {len(data.names)} clips of {data.path} is in {clips.folder}: the"
            f" file names {data.names[0]}.",
            "Names must be the clips' paths in the training audio folder, or bare file names.",
        )


def examine_training_set(
    data: TrainingSet,
    witnesses: Witnesses,
    vocabulary: Sequence[str] | None = None,
    seed: int = 0,
    *,
    facts: Mapping[str, Any],
    references: Mapping[str, Sequence[str]] | None = None,
    progress: Progress | None = None,
) -> TrainingData:
    """Do the same with what is in memory."""
    checks: tuple[Callable[[], Examined], ...] = (
        lambda: find_imbalance(data, seed),
        lambda: find_generic(data),
        lambda: find_single_caption(data, facts),
        lambda: find_shift(data, witnesses, seed),
        lambda: find_copied_audio(data, witnesses.prints, witnesses.listed_as or {}),
        lambda: find_shared_captions(data),
        lambda: find_lost_words(data, vocabulary),
        lambda: find_memorised(data, witnesses.predicted, references, seed),
    )
    examined: list[Examined] = []
    for check in checks:
        if progress is not None:
            progress("checking training captions", len(examined), len(checks))
        examined.append(check())
    if progress is not None:
        progress("checking training captions", len(checks), len(checks))
    causes = [cause for _, found in examined for cause in found]
    return TrainingData(
        path=data.path,
        clips=len(data.names),
        captions=len(data.texts),
        causes=tuple(sorted(causes, key=lambda cause: -cause.confidence)),
        findings=tuple(finding for finding, _ in examined),
        notes=data.notes,
    )
