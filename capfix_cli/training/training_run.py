"""One training of a recipe, from files to a captioner on disk: resumable, nothing overwritten."""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from capfix_cli.audio.clip_set import ClipSource
from capfix_cli.captioners.base import Captioner
from capfix_cli.captioners.feature_captioner import reads_features
from capfix_cli.captioners.own import own_checkpoint as checkpoint
from capfix_cli.core.errors import CapfixError
from capfix_cli.core.progress import ProgressCallback
from capfix_cli.training import finetuning as yours
from capfix_cli.training.caption_data import Matched, compute_features, match_files
from capfix_cli.training.clip_variants import make_variants
from capfix_cli.training.data_preparation import prepare
from capfix_cli.training.dataset_sources import load_dataset
from capfix_cli.training.training_clips import TrainingClips
from capfix_cli.training.training_config import TrainingConfig
from capfix_cli.training.training_loop import Trained, new_captioner, train
from capfix_cli.training.training_state import clean, fingerprint, write_whole

DONE = "done.pt"


@dataclass(frozen=True)
class TrainingJob:
    """Where a training takes its data from and where everything goes.

    Attributes:
        captions: file of captions; not used with a ``dataset``.
        audio: folder of clips, or these.
        root: the folder whose ``.capfix`` holds the feature cache.
        state: folder of the state, for resuming.
        device: as PyTorch names it.
        logs: folder of CSV and TensorBoard logs, or None.
        progress: called as the work goes on.
        dataset: instead of captions and audio, a data set as aac-datasets has them.
    """

    captions: str
    audio: ClipSource
    root: Path
    state: Path
    device: str
    progress: ProgressCallback
    logs: Path | None = None
    dataset: Any = None

    @cached_property
    def found(self) -> Matched:
        """The clips and their captions, read once for all trainings of the job.

        Raises:
            CapfixError: no captions, no audio, or none that belong together.
        """
        return match_files(self.captions, self.audio)


@dataclass(frozen=True)
class TrainingOutcome:
    """A training that is over.

    Attributes:
        clips: that were trained on, with what was left out.
        trained: how it went.
        notes: what a reader must know.
        state: this training's own folder.
    """

    clips: TrainingClips
    trained: Trained
    state: Path
    notes: tuple[str, ...] = field(default=())


def train_own(setup: TrainingConfig, job: TrainingJob, path: Path, name: str) -> TrainingOutcome:
    """Train one of capfix's own captioners and write it to ``path``.

    Raises:
        CapfixError: whatever the user can mend.
    """
    front_end = setup.model.front_end
    progress = _counting(job.progress, "computing features")
    if job.dataset is not None:
        read = load_dataset(job.dataset, front_end, job.root, progress)
    else:
        variants = make_variants(setup.augmentation, setup.training.seed, front_end.sample_rate)
        read = compute_features(job.found, front_end, progress, root=job.root, variants=variants)
    clips, held = prepare(read, setup.data, setup.augmentation, setup.training.seed)
    captioner = new_captioner(setup.model, clips, setup.training.seed)
    own = job.state / fingerprint(setup, captioner, clips, held)
    trained = Trained(folder=own)
    if not (own / DONE).is_file():
        trained = train(
            captioner,
            clips,
            setup,
            captioner.encode_features,
            held_out=held,
            device=job.device,
            progress=_training(job.progress, name),
            folder=job.state,
            logs=job.logs / name if job.logs is not None else None,
        )
        most = max(len(texts) for texts in clips.captions)
        facts = setup.training.facts(most, setup.augmentation.in_words())
        facts |= {
            "balance": setup.data.balance,
            "min_specific_words": setup.data.min_specific_words,
        }
        if first_process():
            checkpoint.save(captioner, own / DONE, training=facts, overwrite=True)
    publish(own / DONE, path)
    return TrainingOutcome(clips, trained, own, _notes(name, trained))


def train_yours(
    captioner: Captioner,
    original: Path,
    setup: TrainingConfig,
    job: TrainingJob,
    path: Path,
    *,
    dropout: bool,
) -> TrainingOutcome:
    """Train a user's captioner from its weights on and write it to ``path`` in its own layout.

    Raises:
        CapfixError: whatever the user can mend.
    """
    assert captioner.module is not None
    variants = None
    if not reads_features(captioner):
        variants = make_variants(setup.augmentation, setup.training.seed, captioner.sample_rate)
    read = yours.load_waveforms(job.found, captioner, variants)
    unknown = yours.check_words(captioner, read)
    clips, held = prepare(read, setup.data, setup.augmentation, setup.training.seed)
    own = job.state / fingerprint(setup, captioner, clips, held)
    notes = [unknown] if unknown else []
    if reads_features(captioner) and setup.augmentation.variants:
        notes.append("3.4: clips are features, and copies of altered audio were left out.")
    trained = Trained(folder=own)
    if not (own / DONE).is_file():
        with yours.train_mode_for_finetuning(captioner) as before:
            if dropout and not yours.give_dropout(captioner.module):
                notes.append("5.1: no layer of dropout in it has a rate of 0; nothing was changed.")
            captioner.module.to(job.device)
            trained = train(
                captioner,
                clips,
                setup,
                captioner.encode,
                held_out=held,
                device=job.device,
                progress=_training(job.progress, "recipe"),
                folder=job.state,
                logs=job.logs,
            )
            own.mkdir(parents=True, exist_ok=True)
            note = yours.save_in_original_layout(original, own / DONE, before, captioner.module)
            notes += [note] if note else []
    publish(own / DONE, path)
    return TrainingOutcome(clips, trained, own, (*notes, *_notes("recipe", trained)))


def first_process() -> bool:
    """Say whether this is the process that writes and tells; torchrun starts several."""
    return os.environ.get("RANK", "0") == "0"


def publish(done: Path, path: Path) -> None:
    """Copy a finished captioner to where the user wants it, whole or not at all.

    Raises:
        CapfixError: another file is there.
    """
    if not first_process():
        return
    if path.exists():
        if filecmp.cmp(done, path, shallow=False):
            return  # a run that was killed between training and proof
        raise CapfixError(f"{path} is there already.", "Name another file with --output.")
    write_whole(path, lambda file: shutil.copyfile(done, file))


def left_by(state: Path, path: Path) -> bool:
    """Say whether a file is what an interrupted run of ours has put there."""
    return any(filecmp.cmp(done, path, shallow=False) for done in state.glob(f"*/{DONE}"))


def finish(*outcomes: TrainingOutcome) -> None:
    """Remove the states of trainings that are proved."""
    for outcome in outcomes:
        clean(outcome.state)


def _notes(name: str, trained: Trained) -> tuple[str, ...]:
    notes = [f"The {name}: {warning}" for warning in trained.warnings]
    if trained.best_epoch:
        best = f"The {name} has the weights of epoch {trained.best_epoch}, which listened most on"
        notes.append(f"{best} held-out clips{', and stopped there early' * trained.stopped}.")
    return tuple(notes)


def _counting(progress: ProgressCallback, stage: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(stage, done, total)


def _training(progress: ProgressCallback, name: str) -> Callable[[int, int, float], None]:
    return lambda step, steps, loss: progress(f"training the {name} (loss {loss:.2f})", step, steps)
