"""The Lightning side of a training step: its loss, its random numbers, its gradient, its optimiser.

Imported where training begins, since it imports Lightning.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from capfix_cli.captioners.base import Captioner
from capfix_cli.core.errors import CapfixError
from capfix_cli.core.randomness import torch_seed
from capfix_cli.training.objective import Encode, Objective, TheirLoss
from capfix_cli.training.training_batches import Batch
from capfix_cli.training.training_config import TrainingOptions

Report = Callable[[int, int, float], None]  # steps done, steps in all, loss in nats a token


class DivergedError(CapfixError):
    """The loss or the gradients are no numbers any more."""


def seed_step(seed: int, step: int, rank: int = 0) -> None:
    """Start the random numbers of a step anew, by its place alone: what resuming relies on."""
    torch.manual_seed(torch_seed(seed, "training.step", step, rank))


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
        *,
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
