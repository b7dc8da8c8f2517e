"""The proof behind a prescription: retrain, diagnose again, and compare with a control."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from capfix_cli.captioners.own.captioner import OwnCaptioner
from capfix_cli.captioners.own.checkpoint import save
from capfix_cli.captioners.own.config import CaptionerConfig
from capfix_cli.diagnosis.hearing import Watch, unwatched
from capfix_cli.diagnosis.verdict import audio_decides
from capfix_cli.errors import CapfixError
from capfix_cli.pipeline import Settings, diagnose
from capfix_cli.recipes.data import TrainingClips, load_training_clips
from capfix_cli.recipes.recipe import Recipe, RecipeFile, read_recipe
from capfix_cli.recipes.training import TrainingOptions, fit
from capfix_cli.records import Diagnosis, Listening, Retraining

Trainer = Callable[[CaptionerConfig, TrainingOptions, str], OwnCaptioner]


def retrain(
    recipe_path: str,
    captions: str | None,
    audio: str | None,
    settings: Settings,
    *,
    test_audio: str | None = None,
    output: str | None = None,
    control: bool = True,
    epochs: int | None = None,
    watch: Watch = unwatched,
) -> Retraining:
    """Run a recipe and prove it on the clips of the run that it is based on.

    Args:
        recipe_path: of a recipe file.
        captions: training captions; the recipe's ``data.captions`` where None.
        audio: training audio; the recipe's ``data.audio`` where None.
        settings: as of a diagnosis.
        test_audio: clips to diagnose on; those of the recipe's run where None.
        output: where the checkpoint goes; ``repaired.pt`` beside the recipe where None.
        control: train the same model without the fixes at the same budget as well.
        epochs: instead of the recipe's.
        watch: called as the work goes on.

    Raises:
        CapfixError: whatever the user can mend.
    """
    file = read_recipe(recipe_path)
    captions, audio = _training_data(file, captions, audio)
    recipe = file.recipe
    test = test_audio or recipe.based_on.get("audio")
    if not test or not Path(str(test)).is_dir():
        raise CapfixError(
            f"The clips to test on ({test or 'none named'}) are not there.",
            "Name a folder of clips that are not trained on: --test-audio DIR.",
        )
    checkpoint = Path(output or Path(recipe_path).parent / "repaired.pt")
    control_path = checkpoint.with_name(f"{checkpoint.stem}-control{checkpoint.suffix}")
    _refuse_overwriting(checkpoint, control_path if control else None)
    if epochs is not None:
        recipe = _with_epochs(recipe, epochs)
    before = _before(recipe, str(test), settings, watch)
    clips = load_training_clips(
        captions,
        audio,
        recipe.model.front_end,
        lambda done, total: watch("computing features", done, total),
    )
    after_control = None
    if control:
        _train_and_save(recipe.control, clips, control_path, "control", settings, watch)
        after_control = _diagnose_own(control_path, str(test), settings, watch)
    _train_and_save((recipe.model, recipe.training), clips, checkpoint, "recipe", settings, watch)
    after = _diagnose_own(checkpoint, str(test), settings, watch)
    return Retraining(
        recipe=recipe_path,
        checkpoint=str(checkpoint),
        control_checkpoint=str(control_path) if control else None,
        before=before,
        after=after,
        control=after_control,
        conclusion=conclude(before, after, after_control),
        notes=_notes(clips, audio, str(test)),
    )


def conclude(before: Diagnosis, after: Diagnosis, control: Diagnosis | None) -> str:
    """Say what before, after and control prove together."""
    if after.listening is None:
        return "The retrained captioner cannot be judged: its numbers are not finite."
    old, new = _bits(before.listening), _bits(after.listening)
    change = f"listening went from {old:.2f} to {new:.2f} bits, the verdict from {before.verdict}"
    change += f" to {after.verdict}"
    if not audio_decides(after.listening):
        return f"The recipe did not repair it: {change}. Go on with priority 3."
    if control is None or control.listening is None:
        return f"The recipe repaired it: {change}. Without a control, longer training alone may do."
    plain = _bits(control.listening)
    low, high = after.listening.deciding_interval
    if control.listening.deciding_interval[1] < low:
        partly = audio_decides(control.listening)
        return (
            f"The recipe repaired it: {change}. The same budget without the fixes reached"
            f" {plain:.2f} bits"
            + (
                ": longer training did part of it, the fixes the rest."
                if partly
                else ", so the fixes matter, not the longer training."
            )
        )
    if control.listening.deciding_interval[0] > high:
        return (
            f"Training longer is the cure: without the fixes the same budget reached {plain:.2f}"
            f" bits, with them {new:.2f}. Keep the architecture and train it longer."
        )
    return (
        f"It is repaired ({change}), but longer training alone reached {plain:.2f} bits, the same"
        " within the intervals: training longer is the cure, the fixes are not needed for it."
    )


def _bits(listening: Listening | None) -> float:
    return listening.deciding_bits if listening is not None else 0.0


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


def _refuse_overwriting(*paths: Path | None) -> None:
    """Fail before hours of training, not after."""
    for path in paths:
        if path is None:
            continue
        if path.exists():
            raise CapfixError(
                f"{path} is there already.", "Name another file with --output, or move that away."
            )
        if path.parent.exists() and not path.parent.is_dir():
            raise CapfixError(f"{path.parent} is not a folder.", "Name another --output.")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(exist_ok=False)
            path.unlink()
        except OSError as error:
            raise CapfixError(
                f"{path} cannot be written: {error.strerror}.", "Name another --output."
            ) from error


def _with_epochs(recipe: Recipe, epochs: int) -> Recipe:
    model, training = recipe.control
    return dataclasses.replace(
        recipe,
        training=dataclasses.replace(recipe.training, epochs=epochs),
        control=(model, dataclasses.replace(training, epochs=epochs)),
    )


def _before(recipe: Recipe, test: str, settings: Settings, watch: Watch) -> Diagnosis:
    """Diagnose the captioner that the recipe answers, on the same clips and references."""
    model = recipe.based_on.get("model")
    if not model or not Path(str(model)).exists():
        raise CapfixError(
            f"The captioner that the recipe is based on ({model or 'not named'}) is not there.",
            "Put it back, or set based_on.model in the recipe: without it there is no before.",
        )
    adapter = recipe.based_on.get("adapter") or settings.adapter
    return diagnose(str(model), test, dataclasses.replace(settings, adapter=adapter), watch)


def _diagnose_own(path: Path, test: str, settings: Settings, watch: Watch) -> Diagnosis:
    return diagnose(str(path), test, dataclasses.replace(settings, adapter=None), watch)


def _train_and_save(
    what: tuple[CaptionerConfig, TrainingOptions],
    clips: TrainingClips,
    path: Path,
    name: str,
    settings: Settings,
    watch: Watch,
) -> None:
    config, options = what
    captioner = fit(
        config,
        clips,
        options,
        device=settings.device,
        progress=lambda step, steps, loss: watch(
            f"training the {name} (loss {loss:.2f})", step, steps
        ),
    )
    most = max(len(texts) for texts in clips.captions)
    save(captioner, path, training=options.facts(most))


def _notes(clips: TrainingClips, audio: str, test: str) -> tuple[str, ...]:
    notes = []
    if Path(audio).resolve() == Path(test).resolve():
        notes.append("It was tested on the clips it was trained on: the figures flatter it.")
    if clips.unmatched:
        notes.append(f"{clips.unmatched} training files have no caption and were left out.")
    if clips.skipped:
        first = clips.skipped[0]
        notes.append(
            f"{len(clips.skipped)} training files were skipped ({first.path}: {first.reason})."
        )
    return tuple(notes)
