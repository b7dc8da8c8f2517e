"""The proof behind a prescription: retrain, diagnose again, and compare with a control."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capfix_cli.audio.clip_set import ClipSet, ClipSource, open_clips
from capfix_cli.captioners.loading import load
from capfix_cli.captions.reference_file import fit_references, read_references
from capfix_cli.core.errors import CapfixError
from capfix_cli.core.progress import ProgressCallback, no_progress, tell
from capfix_cli.diagnosis.command_settings import Settings
from capfix_cli.features.feature_set import FeatureSet, open_features
from capfix_cli.fixes.catalogue.fix_5_1_dropout import FIX as DROPOUT
from capfix_cli.schemas.diagnosis_record import Diagnosis
from capfix_cli.schemas.retraining_record import Retraining
from capfix_cli.training import finetuning as yours
from capfix_cli.training.conclusion import conclude, notes_of
from capfix_cli.training.expectation import hold_to_promises
from capfix_cli.training.recipe import Recipe
from capfix_cli.training.recipe_reading import RecipeFile, read_recipe
from capfix_cli.training.training_clips import TrainingClips, write_left_out
from capfix_cli.training.training_run import (
    TrainingJob,
    TrainingOutcome,
    finish,
    first_process,
    left_by,
    train_own,
    train_yours,
)

__all__ = ["RetrainOptions", "conclude", "retrain"]

# (model, clips, settings, progress) -> diagnosis; handed in, since it stands above.
Diagnose = Callable[[str, ClipSource, Settings, ProgressCallback], Diagnosis]


@dataclass(frozen=True)
class RetrainOptions:
    """What a command line decides beside the recipe.

    Attributes:
        test_audio: clips to diagnose on; those of the recipe's run where None.
        output: where the checkpoint goes; ``repaired.pt`` beside the recipe where None.
        control: train the same model without the fixes at the same budget as well.
        epochs: instead of the recipe's.
        model: the captioner before, instead of the recipe's.
        logs: folder of CSV and TensorBoard logs.
        test_features: features to diagnose on, in place of audio; the run's if none.
        dataset: a data set as aac-datasets has them, in place of captions and audio.
    """

    test_audio: str | None = None
    output: str | None = None
    control: bool = True
    epochs: int | None = None
    model: str | None = None
    logs: str | None = None
    dataset: Any = None
    test_features: tuple[str, ...] = ()


def retrain(
    recipe_path: str,
    captions: str | None,
    audio: str | None,
    settings: Settings,
    *,
    diagnose: Diagnose,
    progress: ProgressCallback = no_progress,
    **choices: Any,
) -> Retraining:
    """Run a recipe and prove it on the clips of the run that it is based on.

    A run that was killed goes on where it stopped when it is started again.

    Args:
        recipe_path: of a recipe file.
        captions: training captions; the recipe's ``data.captions`` where None.
        audio: training audio; the recipe's ``data.audio`` where None.
        settings: as of a diagnosis.
        diagnose: diagnoses a captioner, before and after.
        progress: called as the work goes on.
        choices: fields of :class:`RetrainOptions`.

    Raises:
        CapfixError: whatever the user can mend.
    """
    chosen = RetrainOptions(**choices)
    file = read_recipe(recipe_path)
    recipe = _adjusted(file.recipe, chosen, settings)
    arrays = _training_features(recipe, settings, progress)
    if chosen.dataset is None:
        captions, audio = _training_data(file, captions, arrays.folder if arrays else audio)
    test = _open_test(recipe, chosen, settings, progress)
    path, control_path, state = _outputs(recipe_path, recipe, chosen)
    logs = Path(chosen.logs) if chosen.logs else None
    place = (settings.root, state, settings.device, progress, logs, chosen.dataset)
    job = TrainingJob(captions or "", arrays or audio or "", *place)
    told = _check_files(job, test, settings)
    before = _before(recipe, test, settings, diagnose, progress) if first_process() else None
    outcomes = [train_own(recipe.control, job, control_path, "control")] if control_path else []
    outcomes += [_train(recipe, job, path, settings)]
    if not first_process():
        raise SystemExit(0)  # torchrun's others: the first one proves
    known = _settings_after(recipe, settings)
    after_control = diagnose(str(control_path), test, known, progress) if control_path else None
    after = diagnose(str(path), test, known, progress)
    left_out = _write_left_out(outcomes[-1].clips, path)
    finish(*outcomes)
    return Retraining(
        recipe=recipe_path,
        checkpoint=str(path),
        control_checkpoint=str(control_path) if control_path else None,
        before=before,
        after=after,
        control=after_control,
        conclusion=conclude(before, after, after_control),
        notes=(*file.warnings, *told, *notes_of(outcomes, audio, test.folder)),
        expected=hold_to_promises(recipe.expect, before, after),
        left_out=left_out,
    )


def _check_files(job: TrainingJob, test: ClipSet, settings: Settings) -> tuple[str, ...]:
    """Fail before hours of training where captions or references are of other clips.

    Returns:
        How the training captions were read.

    Raises:
        CapfixError: they are of other clips.
    """
    if settings.references is not None and isinstance(test, FeatureSet):
        test.named_after(read_references(settings.references), settings.references)
    elif settings.references is not None:
        fit_references(read_references(settings.references), test.names, settings.references)
    if job.dataset is not None:
        return ()
    found = job.found
    if found.unmatched:
        count = len(found.clips) + len(found.unmatched)
        told = f"Captions for {len(found.clips)} of {count} clips in {job.captions}"
        tell(job.progress, f"{told}: the others are not trained on.")
    return found.notes


def _outputs(
    recipe_path: str, recipe: Recipe, chosen: RetrainOptions
) -> tuple[Path, Path | None, Path]:
    """Name the files of the captioner and of the control, if there is one, and the state's folder.

    Raises:
        CapfixError: one of the files is there, or cannot be written.
    """
    path = Path(chosen.output or Path(recipe_path).parent / "repaired.pt")
    # A user's captioner is compared with itself: training it longer without the fixes is no less
    # of a change, so there is a control of capfix's own captioners only.
    control = chosen.control and recipe.trains == "capfix"
    control_path = path.with_name(f"{path.stem}-control{path.suffix}") if control else None
    state = path.parent / f".{path.stem}.training"
    if first_process():
        _refuse_overwriting(state, path, control_path)
    return path, control_path, state


def _adjusted(recipe: Recipe, chosen: RetrainOptions, settings: Settings) -> Recipe:
    """Apply what the command line decides."""
    if chosen.epochs is not None:
        recipe = recipe.with_epochs(chosen.epochs)
    if chosen.model is not None:
        named = {"model": chosen.model, "adapter": settings.adapter}
        recipe = dataclasses.replace(recipe, based_on={**recipe.based_on, **named})
    return recipe


def _train(recipe: Recipe, job: TrainingJob, path: Path, settings: Settings) -> TrainingOutcome:
    if recipe.trains == "capfix":
        return train_own(recipe.setup, job, path, "recipe")
    if job.dataset is not None:
        raise CapfixError(
            "A captioner of yours is trained on files.", "Give --captions CSV and --audio DIR."
        )
    model, adapter = _model_of(recipe), _adapter(recipe, settings)
    arrays = job.audio if isinstance(job.audio, FeatureSet) else None
    loaded = load(model, adapter, "cpu", settings.model, features=arrays)
    yours.check_trainable(loaded.captioner, recipe.based_on.get("vocabulary"))
    dropout = DROPOUT.id in recipe.fixes
    return train_yours(loaded.captioner, Path(model), recipe.setup, job, path, dropout=dropout)


def _adapter(recipe: Recipe, settings: Settings) -> str | None:
    return recipe.based_on.get("adapter") or settings.adapter


def _settings_after(recipe: Recipe, settings: Settings) -> Settings:
    """Only a captioner of the user's is opened by an adapter, whatever the one before needed."""
    adapter = _adapter(recipe, settings) if recipe.trains == "yours" else None
    return dataclasses.replace(settings, adapter=adapter)


def _test_clips(recipe: Recipe, chosen: RetrainOptions) -> str:
    test = chosen.test_audio or recipe.based_on.get("audio")
    if not test or not Path(str(test)).is_dir():
        raise CapfixError(
            f"The clips to test on ({test or 'none named'}) are not there.",
            "Name a folder of clips that are not trained on: --test-audio DIR.",
        )
    return str(test)


def _training_features(
    recipe: Recipe, settings: Settings, progress: ProgressCallback
) -> FeatureSet | None:
    """Open the features to train on; None where clips are audio.

    Raises:
        CapfixError: they cannot be used, or the recipe trains a captioner of capfix's own.
    """
    if not settings.features:
        if recipe.based_on.get("features") and recipe.trains == "yours":
            raise CapfixError(
                "The recipe is for a captioner that reads features.",
                "Give those to train on with --features PATH in place of --audio.",
            )
        return None
    if recipe.trains == "capfix":
        raise CapfixError(
            "This recipe trains a captioner of capfix's own, which hears audio and cannot be"
            " trained on features.",
            "Give --audio of the same clips; or give your captioner's adapter a loss(features,"
            " lengths, captions) and diagnose again: its recipe then trains yours.",
        )
    return open_features(settings.features, settings.feature_field, progress)


def _open_test(
    recipe: Recipe, chosen: RetrainOptions, settings: Settings, progress: ProgressCallback
) -> ClipSet:
    """Open the clips to test on: features where training is on features.

    Raises:
        CapfixError: they are not there.
    """
    paths = chosen.test_features or tuple(recipe.based_on.get("features") or ())
    if not settings.features:
        return open_clips(_test_clips(recipe, chosen), progress)
    if not paths:
        raise CapfixError(
            "The features to test on are not named.",
            "Name features of clips that are not trained on: --test-features PATH.",
        )
    return open_features(paths, settings.feature_field, progress)


def _training_data(file: RecipeFile, captions: str | None, audio: str | None) -> tuple[str, str]:
    captions, audio = captions or file.captions, audio or file.audio
    missing = [
        name for name, value in (("--captions CSV", captions), ("--audio DIR", audio)) if not value
    ]
    if missing or captions is None or audio is None:
        raise CapfixError(
            f"Retraining needs {' and '.join(missing)}.",
            "Give the training captions and their audio, here or in the recipe's data section.",
        )
    return captions, audio


def _refuse_overwriting(state: Path, *paths: Path | None) -> None:
    """Fail before hours of training, not after."""
    for path in paths:
        if path is None:
            continue
        if path.exists() and not left_by(state, path):
            raise CapfixError(
                f"{path} is there already.", "Name another file with --output, or move that away."
            )
        if path.parent.exists() and not path.parent.is_dir():
            raise CapfixError(f"{path.parent} is not a folder.", "Name another --output.")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.touch(exist_ok=False)
                path.unlink()
        except OSError as error:
            raise CapfixError(
                f"{path} cannot be written: {error.strerror}.", "Name another --output."
            ) from error


def _model_of(recipe: Recipe) -> str:
    model = recipe.based_on.get("model")
    if not model or not Path(str(model)).exists():
        raise CapfixError(
            f"The captioner that the recipe is based on ({model or 'not named'}) is not there.",
            "Put it back, or name it with --model: without it there is no before.",
        )
    return str(model)


def _before(
    recipe: Recipe,
    test: ClipSet,
    settings: Settings,
    diagnose: Diagnose,
    progress: ProgressCallback,
) -> Diagnosis | None:
    """Diagnose the captioner that the recipe answers, on the same clips and references.

    A recipe that ships answers none; then there is no before, unless one is named.
    """
    if not recipe.based_on.get("model") and not recipe.based_on.get("run"):
        return None
    adapter = recipe.based_on.get("adapter") or settings.adapter
    return diagnose(
        _model_of(recipe), test, dataclasses.replace(settings, adapter=adapter), progress
    )


def _write_left_out(clips: TrainingClips, path: Path) -> str | None:
    rows = clips.left_out()
    if not rows:
        return None
    table = path.with_name(f"{path.stem}-left-out.csv")
    write_left_out(table, rows)
    return str(table)
