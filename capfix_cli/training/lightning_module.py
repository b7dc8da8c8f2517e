"""The Lightning side of training: the module, and what happens at the end of each epoch.

Imported where training begins, since it imports Lightning.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from capfix_cli.captioners.base import Captioner
from capfix_cli.core.errors import CapfixError
from capfix_cli.training.epoch_metrics import EpochMetrics, collapse_warning
from capfix_cli.training.item_order import Batches
from capfix_cli.training.objective import Encode, Objective, TheirLoss
from capfix_cli.training.training_batches import Batch
from capfix_cli.training.training_config import TrainingOptions
from capfix_cli.training.training_state import BEST, LAST, write_whole

Report = Callable[[int, int, float], None]  # steps done, steps in all, loss in nats a token
STEP = 71  # key of each step's draws
SAVE_SECONDS = 300.0  # between states of a training whose epochs are longer


class DivergedError(CapfixError):
    """The loss or the gradients are no numbers any more."""


def seed_step(seed: int, step: int, rank: int = 0) -> None:
    """Start the random numbers of a step anew, by its place alone: what resuming relies on."""
    drawn = np.random.SeedSequence([seed, STEP, step, rank]).generate_state(1, np.uint64)
    torch.manual_seed(int(drawn[0]) >> 1)


class Training(LightningModule):
    """Any captioner with a module, trained by an objective.

    Args:
        captioner: its module is what learns.
        encode: signals and lengths -> memory.
        objective: memory and captions -> loss.
        options: of the optimiser.
        steps: in all.
        report: called after every step.
    """

    def __init__(
        self,
        captioner: Captioner,
        encode: Encode,
        objective: Objective | TheirLoss,
        options: TrainingOptions,
        steps: int,
        report: Report | None,
    ) -> None:
        super().__init__()
        self.network = captioner.module
        self.encode = encode
        self.objective = objective
        self.options = options
        self.steps = steps
        self.report = report

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Compute the loss of a batch."""
        step = self.global_step
        seed_step(self.options.seed, step, self.global_rank)
        loss, parts = self.objective.of_batch(batch, self.encode, step / max(1, self.steps - 1))
        value = float(loss.detach())
        if not math.isfinite(value):
            raise diverged("The loss is", step, self.current_epoch, self.options)
        if self.report is not None:
            self.report(step + 1, self.steps, value)
        if self.trainer.loggers:
            told = {f"train/{name}": part.detach() for name, part in parts.items()}
            self.log_dict({"train/loss": loss.detach(), **told}, batch_size=len(batch["captions"]))
        return loss

    def configure_gradient_clipping(
        self,
        optimizer: Any,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradient's norm, and stop before a step by what is no number (fix 5.3)."""
        parameters = [p for p in self.parameters() if p.grad is not None]
        if self.options.gradient_clip:
            norm = torch.nn.utils.clip_grad_norm_(parameters, self.options.gradient_clip)
        else:
            norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        # In float16 a scaler drops such steps by itself and scales down.
        if self.options.precision != "16-mixed" and not bool(torch.isfinite(norm)):
            raise diverged("The gradient is", self.global_step, self.current_epoch, self.options)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW over all that learns (fix 5.2)."""
        return torch.optim.AdamW(
            [parameter for parameter in self.parameters() if parameter.requires_grad],
            lr=self.options.learning_rate,
            weight_decay=self.options.weight_decay,
        )


def diverged(what: str, step: int, epoch: int, options: TrainingOptions) -> DivergedError:
    """Say where training broke and what to lower."""
    rate, clip = options.learning_rate, options.gradient_clip
    lower = f"Lower training.learning_rate (from {rate:g} to {rate / 3:.1g})"
    lower += (
        f" or training.gradient_clip (from {clip:g} to {min(1.0, clip / 5):g})"
        if clip
        else (", or set training.gradient_clip: 1")
    )
    if options.precision != "32-true":
        lower += ", or train with precision: 32-true"
    return DivergedError(
        f"{what} no number any more at step {step + 1}, in epoch {epoch + 1}: training stopped.",
        f"{lower}.",
    )


@dataclass
class Course:
    """How training went, epoch by epoch; kept in the checkpoint.

    Attributes:
        readings: of held-out clips.
        best: most bits so far.
        best_epoch: when, counted from 1; 0 for never.
        stopped: whether it was stopped early.
    """

    readings: list[EpochMetrics] = field(default_factory=list)
    best: float = -math.inf
    best_epoch: int = 0
    stopped: bool = False


class EachEpoch(Callback):
    """Listens on held-out clips, keeps the best weights, stops early, and saves the state.

    Args:
        look: (epoch counted from 1, mean loss) -> reading; None without held-out clips.
        folder: where the state is kept; None to keep none.
        patience: epochs without better listening; 0 never stops.
        batches: of the training, told where in an epoch it is resumed.
    """

    def __init__(
        self,
        look: Callable[[int, float], EpochMetrics] | None,
        folder: Path | None,
        patience: int,
        batches: Batches,
    ) -> None:
        self.batches = batches
        self.place = 0  # batches of the running epoch that are done
        self.losses: list[float] = []  # of these
        self.saved = time.monotonic()
        self.look = look
        self.folder = folder
        self.patience = patience
        self.course = Course()
        self.weights: Mapping[str, Tensor] | None = None
        self.warnings: list[str] = []
        self._kept: list[Sequence[Any]] = []

    def state_dict(self) -> dict[str, Any]:
        """Give plain values for the checkpoint."""
        course = self.course
        return {
            "best": course.best,
            "best_epoch": course.best_epoch,
            "stopped": course.stopped,
            "place": self.place,
            "losses": self.losses,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them back."""
        for name in ("best", "best_epoch", "stopped"):
            setattr(self.course, name, state_dict[name])
        self.place = self.batches.done = int(state_dict["place"])
        self.losses = list(state_dict["losses"])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A training that had stopped early stays stopped when it is resumed."""
        if self.course.stopped:
            trainer.should_stop = True

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *rest: Any
    ) -> None:
        """Save in the middle of long epochs too; an epoch's end is saved when it has come."""
        self.place += 1
        self.losses.append(float(outputs["loss"].detach()))
        late = time.monotonic() - self.saved >= SAVE_SECONDS
        if (
            self.folder is not None
            and self._agreed(trainer, late)
            and self.place < len(self.batches)
        ):
            self._save(trainer, self.folder / LAST)

    @staticmethod
    def _agreed(trainer: Trainer, late: bool) -> bool:
        """Let the first process's clock decide for all: they save together or wait forever."""
        return bool(trainer.strategy.broadcast(late)) if trainer.world_size > 1 else late

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Do all of it."""
        assert isinstance(pl_module, Training)
        losses, self.losses, self.place = self.losses, [], 0
        epoch = trainer.current_epoch + 1
        if self.look is not None:
            reading = self.look(epoch, sum(losses) / max(1, len(losses)))
            self._judge(trainer, pl_module, reading)
        if self.folder is not None:
            self._save(trainer, self.folder / LAST)

    def _save(self, trainer: Trainer, path: Path) -> None:
        """Write the state whole or not at all."""
        self.saved = time.monotonic()
        if trainer.world_size == 1:
            write_whole(path, trainer.save_checkpoint)
            return
        part = path.with_suffix(".part")
        trainer.save_checkpoint(part)  # every process must take part, and waits for the others
        if trainer.is_global_zero:
            part.replace(path)

    def _judge(self, trainer: Trainer, module: Training, reading: EpochMetrics) -> None:
        course = self.course
        course.readings.append(reading)
        for logger in trainer.loggers:
            told = {f"validation/{name}": value for name, value in reading.numbers().items()}
            logger.log_metrics(told, step=trainer.global_step)
        warning = collapse_warning(course.readings)
        if warning and not self.warnings:
            self.warnings.append(warning)
        if reading.listening.deciding_bits > course.best:
            course.best, course.best_epoch = reading.listening.deciding_bits, reading.epoch
            assert module.network is not None
            held = {k: v.detach().cpu().clone() for k, v in module.network.state_dict().items()}
            self.weights = held
            if self.folder is not None and trainer.is_global_zero:
                write_whole(self.folder / BEST, lambda file: torch.save(held, file))
        elif self.patience and reading.epoch - course.best_epoch >= self.patience:
            course.stopped = True
            trainer.should_stop = True

    def best_weights(self) -> Mapping[str, Tensor] | None:
        """The weights of the best epoch; None where no clips were held out."""
        if self.weights is None and self.course.best_epoch and self.folder is not None:
            loaded: Mapping[str, Tensor] = torch.load(self.folder / BEST, weights_only=True)
            return loaded
        return self.weights
