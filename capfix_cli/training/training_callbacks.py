"""Between steps and epochs: listening, and Lightning's own checkpoints and early stopping.

Imported where training begins, since it imports Lightning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch import Tensor

from capfix_cli.training.epoch_metrics import EpochMetrics, collapse_warning
from capfix_cli.training.item_order import Batches
from capfix_cli.training.training_state import BEST, LAST, write_whole

SAVE_SECONDS = 300.0  # between states of a training whose epochs are longer
MONITORED = "listening_bits"
NETWORK = "network."  # of the names in a checkpoint's weights

Evaluate = Callable[[int, float], EpochMetrics]  # epoch counted from 1, mean loss


class EpochCourse(Callback):
    """Listens on held-out clips after each epoch, and keeps the place within an epoch.

    Lightning counts batches of its own; that the sampler skips those which a resumed training has
    had, and that their losses count in the epoch's mean, is kept here.

    Args:
        evaluate: gives a reading of the held-out clips; None without any.
        batches: of the training, told where in an epoch it is resumed.
    """

    def __init__(self, evaluate: Evaluate | None, batches: Batches) -> None:
        self.evaluate = evaluate
        self.batches = batches
        self.place = 0  # batches of the running epoch that are done
        self.losses: list[float] = []  # of these
        self.readings: list[EpochMetrics] = []
        self.warnings: list[str] = []

    def state_dict(self) -> dict[str, Any]:
        """Give plain values for the checkpoint."""
        return {"place": self.place, "losses": self.losses}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them back."""
        self.place = self.batches.done = int(state_dict["place"])
        self.losses = list(state_dict["losses"])

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *rest: Any
    ) -> None:
        """Count the batch."""
        self.place += 1
        self.losses.append(float(outputs["loss"].detach()))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen, log what Lightning monitors, and warn of a collapse once."""
        losses, self.losses, self.place = self.losses, [], 0
        if self.evaluate is None:
            return
        reading = self.evaluate(trainer.current_epoch + 1, sum(losses) / max(1, len(losses)))
        self.readings.append(reading)
        several = trainer.world_size > 1
        pl_module.log(MONITORED, reading.listening.deciding_bits, logger=False, sync_dist=several)
        for logger in trainer.loggers:
            told = {f"validation/{name}": value for name, value in reading.numbers().items()}
            logger.log_metrics(told, step=trainer.global_step)
        warning = collapse_warning(self.readings)
        if warning and not self.warnings:
            self.warnings.append(warning)


class StaysStopped(EarlyStopping):
    """Early stopping that a resumed training remembers: Lightning's would train an epoch more."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop at once where the training had stopped."""
        if self.stopped_epoch:
            trainer.should_stop = True


class WithinEpochs(ModelCheckpoint):
    """Saves by the clock within an epoch; after its last batch the epoch's end is saved instead."""

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Save where it is time."""
        if not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)


class WholeFiles(TorchCheckpointIO):
    """Writes checkpoints whole or not at all, and says in plain words that a disk is full."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write a checkpoint.

        Raises:
            CapfixError: the disk is full or the folder cannot be written.
        """
        write_whole(Path(path), lambda file: torch.save(checkpoint, file))


@dataclass(frozen=True)
class TrainingCallbacks:
    """The callbacks of a training, by what they do.

    Attributes:
        course: listening, and the place within an epoch.
        stopping: early stopping, if any.
        best: keeps the weights that listened most, where clips are held out.
        states: keep what resuming needs, if a state is kept.
    """

    course: EpochCourse
    stopping: StaysStopped | None
    best: ModelCheckpoint | None
    states: tuple[ModelCheckpoint, ...]

    def all(self) -> list[Callback]:
        """In the order in which they are called: a state holds what the others know by then."""
        rows = (self.course, self.stopping, self.best, *self.states)
        return [callback for callback in rows if callback is not None]

    @property
    def writes(self) -> bool:
        """Whether any of them writes checkpoints."""
        return self.best is not None or bool(self.states)

    @property
    def stopped(self) -> bool:
        """Whether training stopped early."""
        return self.stopping is not None and self.stopping.stopped_epoch > 0

    def best_weights(self) -> tuple[Mapping[str, Tensor], int] | None:
        """The weights of the epoch that listened most, and its number counted from 1.

        None where no clips were held out, or where another machine has the file.
        """
        if self.best is None or not Path(self.best.best_model_path).is_file():
            return None
        saved = torch.load(self.best.best_model_path, map_location="cpu", weights_only=True)
        return network_weights(saved), int(saved["epoch"]) + 1


def network_weights(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Take the captioner's weights out of one of Lightning's checkpoints."""
    return {
        name.removeprefix(NETWORK): tensor
        for name, tensor in checkpoint["state_dict"].items()
        if name.startswith(NETWORK)
    }


def make_callbacks(
    course: EpochCourse, *, best_folder: Path, state: Path | None, patience: int
) -> TrainingCallbacks:
    """Set Lightning's callbacks up for a training.

    Args:
        course: of this training.
        best_folder: where the best weights go, if clips are held out.
        state: folder of what resuming needs; None to keep none.
        patience: epochs without better listening; 0 never stops.
    """
    listens = course.evaluate is not None
    best = stopping = None
    if listens:
        best = _checkpoint(best_folder, BEST, monitor=MONITORED, mode="max", save_weights_only=True)
    if listens and patience:
        stopping = StaysStopped(
            MONITORED,
            patience=patience,
            mode="max",
            check_finite=False,
            check_on_train_epoch_end=True,
        )
    states: tuple[ModelCheckpoint, ...] = ()
    if state is not None:
        interval = timedelta(seconds=SAVE_SECONDS)
        states = (
            _checkpoint(state, LAST, kind=WithinEpochs, train_time_interval=interval),
            _checkpoint(state, LAST),
        )
    return TrainingCallbacks(course, stopping, best, states)


def _checkpoint(
    folder: Path, name: str, kind: type[ModelCheckpoint] = ModelCheckpoint, **options: Any
) -> ModelCheckpoint:
    """One file that is written anew each time."""
    return kind(
        folder,
        Path(name).stem,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
        **options,
    )
