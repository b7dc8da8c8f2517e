"""What a reader of a diagnosis must know beside its findings, a sentence a line."""

from __future__ import annotations

from capfix_cli.captioners.feature_captioner import OverFeatures, reads_features
from capfix_cli.captioners.loading import Loaded
from capfix_cli.captioners.own.own_captioner import OwnCaptioner
from capfix_cli.diagnosis.data_marks import broken_data
from capfix_cli.diagnosis.diagnose import DiagnosisResult
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.diagnosis.training_data.data_checks import TrainingData
from capfix_cli.features.scalers import scaler_notes
from capfix_cli.schemas.identity_record import Identity


def identity_note(identity: Identity | None) -> tuple[str, ...]:
    """Say whether the captions are the user's own, where that was compared."""
    return () if identity is None else (f"{identity.sentence}.",)


def notes_of(
    case: DiagnosisContext,
    examined: DiagnosisResult,
    training: TrainingData | None,
    *,
    trainable: bool,
) -> tuple[str, ...]:
    """List them: what was not judged, what is broken, what mends it, what a recipe trains."""
    loaded = case.loaded
    notes = list(_feature_notes(loaded))
    if case.references is None:
        notes.append(
            "Rightness was not judged: listening says that the audio decides the caption, not that"
            " it decides rightly. Give --references CSV for that."
        )
    if examined.listening is not None and examined.listening.note:
        notes.append(f"Listening: {examined.listening.note}.")
    if loaded.handed_in_train_mode:
        notes.append(
            "The network was handed over in train mode, and capfix put it into eval mode: make sure"
            " that your own captioning calls model.eval(), since dropout or BatchNorm differ there."
        )
    broken = "" if training is None else broken_data(training)
    notes += [f"{broken}."] if broken else []
    notes += [f"{mend}." for mend in examined.mends[:3]]
    told = examined.prediction
    if told is not None:
        came = {None: "none was tried", True: "one does", False: "none does"}[told.came]
        notes.append(
            f"Decoding was foretold {'to work' if told.works else 'not to work'} ({told.because}):"
            f" {came}."
        )
    epochs = loaded.summary.facts.get("training.epochs")
    if epochs is not None and examined.walk.leaf.retrain:
        notes.append(
            f"It was trained for {epochs} epoch(s): longer training alone may be the cure, and"
            " `capfix retrain` trains a control without the fixes to find out."
        )
    if examined.walk.leaf.retrain and not isinstance(loaded.captioner, OwnCaptioner):
        notes.append(
            "The recipe trains your captioner with the fixes that leave its architecture as it is;"
            " its section `rewrites` has the code to write for the others."
            if trainable
            else "To train your captioner on features, give its adapter a loss(features, lengths,"
            " captions): the recipe trains capfix's own, which hears audio; its section `rewrites`"
            " has the code to write for yours."
            if reads_features(loaded.captioner)
            else "The recipe trains capfix's own captioner with these fixes on your captions; its"
            " section `rewrites` has the code to write for yours."
        )
    return tuple(notes)


def _feature_notes(loaded: Loaded) -> tuple[str, ...]:
    """Say how features were given to the captioner, and what may be missing on their way."""
    captioner = loaded.captioner
    if not isinstance(captioner, OverFeatures):
        return ()
    return (*captioner.given.notes, *scaler_notes(loaded.summary.path, captioner.given.layout))
