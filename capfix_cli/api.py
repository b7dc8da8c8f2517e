"""The whole path in order, as the design lists its stages; the one place that calls them so."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from capfix_cli import text_api
from capfix_cli.audio.clip_set import ClipSet, ClipSource, source_path
from capfix_cli.captioners.adapters import attribute_adapter_errors
from capfix_cli.captioners.loading import Loaded, load
from capfix_cli.captioners.own.own_captioner import OwnCaptioner
from capfix_cli.captioners.text.text_captioner import TextCaptioner
from capfix_cli.checkpoints.inspection import settings_beside
from capfix_cli.core.errors import CapfixError
from capfix_cli.core.progress import ProgressCallback, no_progress
from capfix_cli.core.randomness import seeded
from capfix_cli.decoding.decoding_options import DecodingOptions
from capfix_cli.decoding.encode_pass import EncodedClips, encode_and_caption
from capfix_cli.diagnosis.command_settings import Settings
from capfix_cli.diagnosis.data_marks import training_data_marks
from capfix_cli.diagnosis.diagnose import DiagnosisResult, run_diagnosis
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.diagnosis.diagnosis_notes import identity_note, notes_of
from capfix_cli.diagnosis.given_files import GivenFiles, open_given_files, open_source
from capfix_cli.diagnosis.identity import prove_identity
from capfix_cli.diagnosis.training_data.data_checks import TrainingData, examine_training
from capfix_cli.diagnosis.training_data.data_findings import write_rows
from capfix_cli.diagnosis.verdict import require_enough
from capfix_cli.features.feature_set import FeatureSet
from capfix_cli.fixes.setting_status import training_settings
from capfix_cli.generation.caption_folder import Delivery, Generated, caption_folder
from capfix_cli.generation.captioning import ModelWriter
from capfix_cli.generation.distributed import join
from capfix_cli.generation.manifest import build_manifest
from capfix_cli.runs import run_store as runs
from capfix_cli.runs.diagnosis_run import make_record, store_run
from capfix_cli.schemas.clip_records import ClipCaption
from capfix_cli.schemas.diagnosis_record import Diagnosis
from capfix_cli.schemas.retraining_record import Retraining
from capfix_cli.training.recipe import Recipe, make_recipe, training_like, write_recipe
from capfix_cli.training.recipe_rewrites import is_trainable, rewrites_for

__all__ = ["DiagnosisResult", "Settings", "diagnose", "generate", "retrain", "run_diagnosis"]


def diagnose(
    model: str | TextCaptioner | None,
    audio: ClipSource,
    settings: Settings,
    progress: ProgressCallback = no_progress,
) -> Diagnosis:
    """Walk the whole path for one checkpoint and store it as a run.

    Whatever is wrong with the files that are given is told before anything is captioned.

    Args:
        model: a checkpoint, or the name that an adapter takes; a TextCaptioner; None where
            ``settings.model.source`` says where captions come from.
        audio: a folder of clips, or :func:`capfix_cli.audio.clip_set.open_clips` of one; ignored
            where the settings name features.
        settings: all else that a command line says.
        progress: called as the work goes on; its ``tell``, where it has one, with lines that must
            be read.

    Returns:
        The diagnosis as it is stored.

    Raises:
        CapfixError: whatever the user can mend; the message says how.
    """
    with seeded(settings.seed):
        return _diagnose(model, audio, settings, progress)


def _diagnose(
    model: str | TextCaptioner | None,
    audio: ClipSource,
    settings: Settings,
    progress: ProgressCallback,
) -> Diagnosis:
    if text_api.is_text(model, settings):
        _refuse_features(settings)
        return text_api.diagnose_text(model, audio, settings, progress)
    model = _named(model)
    arrays, settings = _open_features(audio, settings, progress)
    loaded = load(model, settings.adapter, settings.device, settings.model, features=arrays)
    marks = training_settings(loaded.summary.facts, settings.training_config, _beside(model))
    files = open_given_files(arrays or audio, settings, progress)
    with runs.new_run(settings.root) as run, attribute_adapter_errors(settings.code):
        clips = encode_and_caption(
            loaded.captioner,
            files.clips,
            batch_size=settings.batch_size,
            seed=settings.seed,
            progress=progress,
        )
        require_enough(clips.audio.clips, clips.audio.skipped)
        identity = prove_identity(loaded.captioner, clips, settings, model, progress)
        references = files.references_of(clips.captions)
        training = _training(loaded, clips, files, references, settings, progress=progress)
        if training is not None:
            marks |= training_data_marks(training)  # what was trained on outweighs a setting
            write_rows(training, run.folder / runs.TRAINING_ROWS)
        case = DiagnosisContext(
            loaded=loaded,
            clips=clips,
            references=references,
            seed=settings.seed,
            progress=progress,
            training=training.causes if training is not None else None,
            marks=marks,
            train_audio=files.train_clips,
            pairs_fit=None if training is None else training.pairs_fit,
        )
        examined = run_diagnosis(case)
        recipe = _recipe(examined, loaded, run.id, files.clips)
        path = settings.root / runs.STORE / run.id / runs.RECIPE  # where it will be
        if recipe is not None:
            write_recipe(recipe, run.folder / runs.RECIPE, shown_as=path)
        diagnosis = replace(
            make_record(case, examined, training),
            identity=identity,
            run=run.id,
            recipe=str(path) if recipe is not None else None,
            notes=(
                *identity_note(identity),
                *files.notes,
                *clips.notes,
                *notes_of(case, examined, training, trainable=is_trainable(case.captioner)),
            ),
        )
        store_run(run, clips.captions, diagnosis, references or {}, settings)
    return diagnosis


def _named(model: str | TextCaptioner | None) -> str:
    """Give the checkpoint's path.

    Raises:
        CapfixError: nothing says what is to be run.
    """
    if isinstance(model, str):
        return model
    raise CapfixError(
        "There is nothing to run: neither MODEL nor where captions come from.",
        "Give MODEL (a checkpoint), or --caption-function MODULE:NAME, --caption-command"
        " 'COMMAND {audio}' or --endpoint URL.",
    )


def _beside(model: str) -> dict[str, Any] | None:
    """Give the settings that lie beside the weights, where the file tells any."""
    with contextlib.suppress(CapfixError):
        return settings_beside(model)
    return None


def _training(
    loaded: Loaded,
    heard: EncodedClips,
    files: GivenFiles,
    references: Mapping[str, Sequence[str]] | None,
    settings: Settings,
    *,
    progress: ProgressCallback,
) -> TrainingData | None:
    """Check the training data, where they are given."""
    if files.trained_on is None:
        return None
    return examine_training(
        files.trained_on,
        files.train_clips,
        loaded.captioner.vocabulary,
        {caption.file_name: caption.text for caption in heard.captions},
        settings.seed,
        facts=loaded.summary.facts,
        references=references,
        heard=heard.clip_set,
        progress=lambda *told: progress("checking training data", 0, 1),
    )


def _recipe(examined: DiagnosisResult, loaded: Loaded, run: str, clips: ClipSet) -> Recipe | None:
    captioner, summary = loaded.captioner, loaded.summary
    if not examined.walk.leaf.retrain:
        return None
    own = isinstance(captioner, OwnCaptioner)
    needed = [row.fix for row in examined.plan if row.status == "needed"]
    return make_recipe(
        examined.plan,
        {
            "run": run,
            "model": str(Path(summary.path).resolve()),
            "sha256": summary.sha256,
            "verdict": examined.decision.verdict,
            "audio": source_path(clips.folder),
            "adapter": summary.adapter,
            **({"features": list(clips.sources)} if isinstance(clips, FeatureSet) else {}),
            "vocabulary": {"size": len(captioner.vocabulary)},
        },
        captioner.config if isinstance(captioner, OwnCaptioner) else None,
        training_like(summary.facts),
        yours=is_trainable(captioner),
        rewrites={} if own else rewrites_for(summary.path, needed),
    )


def _refuse_features(settings: Settings) -> None:
    """Refuse features where captions come as text alone.

    Raises:
        CapfixError: some are given.
    """
    if settings.features:
        raise CapfixError(
            "What gives text alone is asked with audio, and features were given.",
            "Give --audio; or the network itself with --adapter, which can be given features.",
        )


def _open_features(
    audio: ClipSource, settings: Settings, progress: ProgressCallback
) -> tuple[FeatureSet | None, Settings]:
    """Open the features that stand for audio, if any do, and let the settings name them."""
    found = open_source(audio, settings, progress) if settings.features else audio
    if not isinstance(found, FeatureSet):
        return None, settings
    return found, replace(settings, features=found.sources, feature_field=found.wanted)


def generate(
    model: str | TextCaptioner | None,
    audio: ClipSource,
    options: DecodingOptions,
    settings: Settings,
    progress: ProgressCallback = no_progress,
    *,
    delivery: Delivery | None = None,
) -> Generated:
    """Caption every clip of a folder as it goes; nothing is judged and no run is stored.

    Under torchrun each process captions its share, and the first gives the result. Without a
    ``delivery`` the result holds the captions.

    Args:
        model: as :func:`diagnose` takes it.
        audio: a folder of clips, or :func:`capfix_cli.audio.clip_set.open_clips` of one.
        options: how to decode.
        settings: all else that a command line says.
        progress: called as the work goes on.
        delivery: where captions go.

    Raises:
        CapfixError: whatever the user can mend.
    """
    given = settings.model
    if text_api.is_text(model, settings):
        _refuse_features(settings)
        return text_api.generate_text(model, audio, options, settings, progress, delivery=delivery)
    model = _named(model)
    arrays, settings = _open_features(audio, settings, progress)
    audio = arrays or audio
    folder = audio.folder if isinstance(audio, ClipSet) else str(audio)
    made = build_manifest(
        *(model, folder, options, settings.seed, settings.adapter),
        given=given,
        feature_field=settings.feature_field,
    )
    captions: list[ClipCaption] = []
    with seeded(settings.seed), join(settings.device) as team:
        loaded = load(model, settings.adapter, team.device, given, features=arrays)
        with attribute_adapter_errors(settings.code):
            generated = caption_folder(
                ModelWriter(loaded.captioner, options, settings.batch_size, settings.seed),
                audio,
                made.with_model(loaded.summary.sha256),
                options,
                batch_size=settings.batch_size,
                delivery=delivery or Delivery(show=captions.extend),
                team=team,
                progress=progress,
            )
    captions.sort(key=lambda caption: caption.file_name)
    return replace(generated, captions=tuple(captions))


def retrain(
    recipe_path: str,
    captions: str | None,
    audio: str | None,
    settings: Settings,
    *,
    progress: ProgressCallback = no_progress,
    **choices: Any,
) -> Retraining:
    """Run a recipe and prove it on the clips of the run that it is based on.

    Args:
        recipe_path: of a recipe file.
        captions: training captions; the recipe's ``data.captions`` where None.
        audio: training audio; the recipe's ``data.audio`` where None.
        settings: as of a diagnosis.
        progress: called as the work goes on.
        choices: fields of ``capfix_cli.training.retraining.RetrainOptions``.

    Raises:
        CapfixError: the recipe, the data or the place of the checkpoint cannot be used.
    """
    from capfix_cli.training import retraining  # Lightning is slow to import

    return retraining.retrain(
        recipe_path,
        captions,
        audio,
        settings,
        diagnose=diagnose,
        progress=progress,
        **choices,
    )
