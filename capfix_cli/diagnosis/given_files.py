"""The files that a diagnosis is given beside the model, read and held against each other first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from capfix_cli.audio.clip_set import ClipSet, ClipSource, open_clips
from capfix_cli.captions.reference_file import (
    ReferenceFile,
    ReferenceFit,
    fit_references,
    read_references,
)
from capfix_cli.core.errors import CapfixError
from capfix_cli.core.progress import ProgressCallback, tell
from capfix_cli.diagnosis.command_settings import Settings
from capfix_cli.diagnosis.training_data.data_checks import check_training_audio
from capfix_cli.diagnosis.training_data.training_file import TrainingSet, read_training
from capfix_cli.diagnosis.verdict import require_enough
from capfix_cli.features.feature_set import FeatureSet, open_features
from capfix_cli.schemas.clip_records import ClipCaption


@dataclass(frozen=True)
class GivenFiles:
    """What the files beside the model hold, read before anything is captioned.

    Attributes:
        clips: to diagnose on.
        texts: the file of references; None where none is given.
        fit: the clips' references out of it.
        trained_on: training captions; None where none are given.
        train_clips: their audio; None where none is given.
    """

    clips: ClipSet
    texts: ReferenceFile | None = None
    fit: ReferenceFit | None = None
    trained_on: TrainingSet | None = None
    train_clips: ClipSet | None = None

    @property
    def notes(self) -> list[str]:
        """What does not fit in the references, and how their file was read."""
        told = list(self.clips.told) if isinstance(self.clips, FeatureSet) else []
        if self.texts is None or self.fit is None:
            return told
        fit = [self.fit.note] if self.fit.note else []
        return [*told, *fit, *(f"{self.texts.path}: {note}." for note in self.texts.notes)]

    def references_of(self, captions: Sequence[ClipCaption]) -> dict[str, list[str]] | None:
        """Give clip -> references of the clips that were captioned; None where none are given.

        Raises:
            CapfixError: the clips with references are all unusable.
        """
        if self.fit is None:
            return None
        found = self.fit.matched
        left = {c.file_name: found[c.file_name] for c in captions if c.file_name in found}
        if not left:
            raise CapfixError(
                f"None of the {len(found)} clips with references in {self.fit.path} can be used.",
                "Give references of clips that hold sound.",
            )
        return left


def open_source(source: ClipSource, settings: Settings, progress: ProgressCallback) -> ClipSet:
    """Find the clips: of audio, or of features where the settings name some.

    Raises:
        CapfixError: nothing there, or nothing in it that can be a clip.
    """
    if isinstance(source, ClipSet) or not settings.features:
        return open_clips(source, progress)
    return open_features(settings.features, settings.feature_field, progress)


def open_given_files(
    audio: ClipSource, settings: Settings, progress: ProgressCallback
) -> GivenFiles:
    """Read the files beside the model and see that they fit each other.

    Args:
        audio: folder of the clips to diagnose on, or these.
        settings: name the files.
        progress: called while headers are read, and told what does not fit.

    Raises:
        CapfixError: one cannot be used, or none of its rows is of a clip that is there.
    """
    clips = open_source(audio, settings, progress)
    require_enough(len(clips), clips.skipped)
    texts = fit = trained_on = train_clips = None
    if settings.references is not None:
        texts = read_references(settings.references)
        if isinstance(clips, FeatureSet):
            clips = clips.named_after(texts, settings.references)
        fit = fit_references(texts, clips.names, settings.references)
    elif isinstance(clips, FeatureSet) and clips.said:
        texts = ReferenceFile(clips.folder, {k: list(v) for k, v in clips.said.items()})
        fit = fit_references(texts, clips.names, clips.folder)
    if settings.train_captions is not None:
        trained_on = read_training(settings.train_captions)
    if settings.train_audio is not None:
        train_clips = open_clips(settings.train_audio, progress, "reading training audio headers")
        if trained_on is not None:
            check_training_audio(trained_on, train_clips)
    files = GivenFiles(clips, texts, fit, trained_on, train_clips)
    for note in files.notes:
        tell(progress, note)
    return files
