"""The whole path for a captioner that gives text alone: asked, judged, stored as a run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from capfix_cli.audio.clip_set import ClipSource, open_clips
from capfix_cli.captioners.text.asker import Asker
from capfix_cli.captioners.text.caption_pass import caption_clips, make_ready
from capfix_cli.captioners.text.text_captioner import TextCaptioner, Wish
from capfix_cli.captioners.text.text_opening import open_asker, summary_of, wish_of
from capfix_cli.core.errors import CapfixError
from capfix_cli.core.progress import ProgressCallback
from capfix_cli.decoding.decoding_options import DecodingOptions
from capfix_cli.diagnosis.command_settings import Settings
from capfix_cli.diagnosis.data_marks import broken_data, training_data_marks
from capfix_cli.diagnosis.diagnose import DiagnosisResult
from capfix_cli.diagnosis.given_files import GivenFiles, open_given_files
from capfix_cli.diagnosis.text.text_context import TextContext
from capfix_cli.diagnosis.text.text_diagnosis import asked_of, run_text_diagnosis
from capfix_cli.diagnosis.text.text_trials import asked_for, what_is_missing
from capfix_cli.diagnosis.training_data.data_checks import TrainingData, examine_training
from capfix_cli.diagnosis.training_data.data_findings import write_rows
from capfix_cli.diagnosis.verdict import require_enough
from capfix_cli.fixes.setting_status import training_settings
from capfix_cli.generation.caption_folder import Delivery, Generated, caption_folder
from capfix_cli.generation.distributed import join
from capfix_cli.generation.manifest import build_manifest
from capfix_cli.generation.text_writer import TextWriter
from capfix_cli.runs import run_store as runs
from capfix_cli.runs.diagnosis_run import make_record, store_run
from capfix_cli.schemas.clip_records import ClipCaption
from capfix_cli.schemas.diagnosis_record import Diagnosis


def is_text(model: str | TextCaptioner | None, settings: Settings) -> bool:
    """Say whether captions come as text alone."""
    return isinstance(model, TextCaptioner) or settings.model.source is not None


def diagnose_text(
    model: str | TextCaptioner | None,
    audio: ClipSource,
    settings: Settings,
    progress: ProgressCallback,
) -> Diagnosis:
    """Walk the whole path for a captioner that is only asked, and store it as a run.

    Raises:
        CapfixError: whatever the user can mend; the message says how.
    """
    asker = open_asker(settings.model, model, settings.batch_size, settings.root)
    marks = training_settings({}, settings.training_config, None)
    files = open_given_files(audio, settings, progress)
    wish = wish_of(settings.model, settings.seed)
    with _keeping(asker), runs.new_run(settings.root) as run:
        clips = caption_clips(asker, files.clips, wish, settings.seed, progress)
        require_enough(clips.audio.clips, clips.audio.skipped)
        references = files.references_of(clips.captions)
        training = _training(files, {c.file_name: c.text for c in clips.captions}, settings)
        if training is not None:
            marks |= training_data_marks(training)
            write_rows(training, run.folder / runs.TRAINING_ROWS)
        case = TextContext(
            summary=summary_of(settings.model, model, asker.captioner),
            asker=asker,
            clips=clips,
            wish=wish,
            references=references,
            seed=settings.seed,
            progress=progress,
            training=training.causes if training is not None else None,
            marks=marks,
        )
        examined = run_text_diagnosis(case)
        diagnosis = replace(
            make_record(case, examined, training, asked_of(case)),
            run=run.id,
            notes=(*files.notes, *_notes(case, examined, training)),
        )
        store_run(run, clips.captions, diagnosis, references or {}, settings)
    return diagnosis


def generate_text(
    model: str | TextCaptioner | None,
    audio: ClipSource,
    options: DecodingOptions,
    settings: Settings,
    progress: ProgressCallback,
    *,
    delivery: Delivery | None,
) -> Generated:
    """Ask for the caption of every clip of a folder; nothing is judged and no run is stored.

    Raises:
        CapfixError: whatever the user can mend; the captioner not taking an option among it.
    """
    asker = open_asker(settings.model, model, settings.batch_size, settings.root)
    told = summary_of(settings.model, model, asker.captioner).path
    captions: list[ClipCaption] = []
    clips = open_clips(audio, progress)
    make_ready(asker, clips.clips)
    missing = what_is_missing(options, asker.captioner.takes_decoding)
    if missing:
        raise CapfixError(f"{told} gives text alone, and takes no {missing}.", "Leave that out.")
    wish = Wish(settings.model.prompt, asked_for(options), settings.seed)
    made = build_manifest(told, clips.folder, options, settings.seed, given=settings.model)
    with _keeping(asker), join("cpu") as team:
        generated = caption_folder(
            TextWriter(asker, wish, progress),
            clips,
            made,
            options,
            batch_size=settings.batch_size,
            delivery=delivery or Delivery(show=captions.extend),
            team=team,
            progress=progress,
        )
    captions.sort(key=lambda caption: caption.file_name)
    return replace(generated, captions=tuple(captions))


def _training(files: GivenFiles, said: dict[str, str], settings: Settings) -> TrainingData | None:
    """Check the training data, where they are given."""
    if files.trained_on is None:
        return None
    return examine_training(files.trained_on, files.train_clips, None, said, settings.seed)


@contextlib.contextmanager
def _keeping(asker: Asker) -> Iterator[None]:
    """Keep answers of what breaks off; of what is done those that serve later runs."""
    try:
        yield
        if asker.kept is not None and not asker.captioner.keeps:
            asker.kept.forget()
    finally:
        if asker.kept is not None:
            asker.kept.close()


def _notes(
    case: TextContext, examined: DiagnosisResult, training: TrainingData | None
) -> tuple[str, ...]:
    """What a reader must know beside the record."""
    notes = list(case.clips.notes)
    if case.references is None:
        notes.append(
            "Rightness was not judged: that captions follow the audio does not say that they are"
            " right. Give --references CSV for that."
        )
    if case.listening is not None:
        notes.append(f"Listening: {case.listening.note}.")
    if case.listening is None:
        notes.append(
            "Whether captions follow the audio could not be asked: it takes no altered copies of"
            " clips."
        )
    broken = "" if training is None else broken_data(training)
    notes += [f"{broken}."] if broken else []
    notes += [f"{mend}." for mend in examined.mends[:3]]
    return tuple(notes)
