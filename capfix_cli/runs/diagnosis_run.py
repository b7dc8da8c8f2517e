"""A diagnosis as a run keeps it: the record put together, and what lies beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from capfix_cli import __version__
from capfix_cli.audio.clip_set import source_path
from capfix_cli.captions.captions_file import write_captions
from capfix_cli.decoding.decoding_options import options_from_dict
from capfix_cli.decoding.generation_config import DECODING, write_decoding
from capfix_cli.diagnosis.command_settings import Settings
from capfix_cli.diagnosis.diagnose import DiagnosisResult
from capfix_cli.diagnosis.judged_captions import Recorded
from capfix_cli.diagnosis.training_data.data_findings import TrainingData
from capfix_cli.runs import run_store as runs
from capfix_cli.schemas.asked_record import Asked
from capfix_cli.schemas.clip_records import ClipCaption
from capfix_cli.schemas.diagnosis_record import Diagnosis
from capfix_cli.schemas.plain_data import to_dict


def make_record(
    case: Recorded,
    examined: DiagnosisResult,
    training: TrainingData | None,
    asked: Asked | None = None,
) -> Diagnosis:
    """Put together what a diagnosis found, as it is stored; run, recipe and notes are yet to come.

    Args:
        case: the captioner, with its captions.
        examined: what was found.
        training: of its training data, where they were given.
        asked: how it was asked, where it gives text alone.
    """
    return Diagnosis(
        capfix_version=__version__,
        run="",
        model=case.summary,
        audio=case.clips.audio,
        verdict=examined.decision.verdict,
        listening=examined.listening,
        measures=case.measures,
        causes=examined.causes,
        tree=examined.walk.steps,
        trials=examined.trials,
        best_decoding=examined.best.decoding if examined.best else None,
        plan=examined.plan,
        recipe=None,
        examples=examined.examples,
        seed=case.seed,
        signal=examined.signal,
        not_tested=examined.not_tested,
        prediction=examined.prediction,
        training=None if training is None else to_dict(training.shortened()),
        training_settings=to_dict(case.marks),
        axes=dict(examined.decision.axes),
        close=examined.decision.close_to,
        degenerate=examined.decision.degenerate,
        lost_at=examined.lost_at,
        repairs=tuple(repair.record for repair in examined.repairs),
        asked=asked,
    )


def store_run(
    run: runs.Run,
    captions: Sequence[ClipCaption],
    diagnosis: Diagnosis,
    references: Mapping[str, Sequence[str]],
    settings: Settings,
) -> None:
    """Write what belongs to a run, beside the recipe."""
    write_captions(run.folder / runs.CAPTIONS, captions, references)
    runs.write_json(run.folder / runs.DIAGNOSIS, to_dict(diagnosis))
    runs.write_json(run.folder / runs.PLAN, to_dict(diagnosis.plan))
    if diagnosis.best_decoding is not None:
        write_decoding(run.folder / DECODING, options_from_dict(diagnosis.best_decoding))
    place = str(Path(diagnosis.model.path).resolve())
    runs.write_json(
        run.folder / runs.COMMAND,
        {
            "command": list(settings.command),
            "seed": settings.seed,
            "model": diagnosis.model.path if diagnosis.asked is not None else place,
            "audio": source_path(diagnosis.audio.folder),
            "adapter": settings.adapter,
            "device": settings.device,
            "batch_size": settings.batch_size,
            "references": settings.references,
            "train_captions": settings.train_captions,
            "train_audio": settings.train_audio,
            "training_config": settings.training_config,
            "given": asdict(settings.model),
            "features": [source_path(path) for path in settings.features],
            "feature_field": settings.feature_field,
            "capfix_version": __version__,
        },
    )
