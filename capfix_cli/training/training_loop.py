"""Training a captioner by a recipe, with Lightning."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, distributed, nn
from torch.utils.data import DataLoader

from capfix_cli.captioners.base import Captioner
from capfix_cli.captioners.own.own_captioner import OwnCaptioner
from capfix_cli.captioners.own.own_config import CaptionerConfig
from capfix_cli.core.errors import CapfixError
from capfix_cli.training.caption_data import build_vocabulary
from capfix_cli.training.epoch_metrics import EpochMetrics
from capfix_cli.training.item_order import Batches, Epochs
from capfix_cli.training.objective import Encode, Objective, TheirLoss, takes_their_loss
from capfix_cli.training.synced_norm import synced
from capfix_cli.training.training_batches import TrainingBatches
from capfix_cli.training.training_clips import TrainingClips
from capfix_cli.training.training_config import TrainingConfig, TrainingOptions
from capfix_cli.training.training_state import LAST, fingerprint
from capfix_cli.training.validation import held_out_evaluator, with_last_good

if TYPE_CHECKING:
    from capfix_cli.training.lightning_module import Report
    from capfix_cli.training.training_callbacks import TrainingCallbacks

__all__ = ["Trained", "TrainingOptions", "fit", "train"]


@dataclass(frozen=True)
class Trained:
    """What came of a training.

    Attributes:
        readings: of held-out clips, epoch by epoch; since the last start where it was resumed.
        best_epoch: whose weights were taken; 0 for the last.
        stopped: whether it was stopped early.
        warnings: that training collapses.
        folder: where the state is, to be removed once the captioner is saved.
    """

    readings: tuple[EpochMetrics, ...] = ()
    best_epoch: int = 0
    stopped: bool = False
    warnings: tuple[str, ...] = ()
    folder: Path | None = None


def fit(
    config: CaptionerConfig,
    clips: TrainingClips,
    options: TrainingOptions,
    *,
    device: str = "cpu",
    progress: Report | None = None,
) -> OwnCaptioner:
    """Train a new captioner on clips whose features are computed; the same seed, the same weights.

    Returns:
        The captioner in eval mode, on the CPU.
    """
    captioner = new_captioner(config, clips, options.seed)
    setup = TrainingConfig(config, options)
    train(captioner, clips, setup, captioner.encode_features, device=device, progress=progress)
    return captioner


def new_captioner(config: CaptionerConfig, clips: TrainingClips, seed: int) -> OwnCaptioner:
    """Make an untrained captioner with the vocabulary of the captions."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return OwnCaptioner(config, build_vocabulary(clips.captions))


def train(
    captioner: Captioner,
    clips: TrainingClips,
    setup: TrainingConfig,
    encode: Encode,
    *,
    held_out: TrainingClips | None = None,
    device: str = "cpu",
    progress: Report | None = None,
    folder: Path | None = None,
    logs: Path | None = None,
) -> Trained:
    """Train a captioner in place; it is left in eval mode on the CPU, with its best weights.

    Args:
        captioner: with a module.
        clips: prepared (see :mod:`capfix_cli.training.data_preparation`).
        setup: the recipe.
        encode: (signals, lengths) -> memory.
        held_out: clips by which the best epoch is chosen; the last epoch's weights where None.
        device: as PyTorch names it.
        progress: called after every step.
        folder: where the state is kept for resuming; a state of the same training is resumed.
        logs: where CSV logs go, and TensorBoard's where it is installed.

    Raises:
        CapfixError: the loss is no number any more, the disk is full, or nothing can learn.
    """
    module = _trainable(captioner, setup, held_out)
    options = setup.training
    state = None
    if folder is not None:
        state = folder / fingerprint(setup, captioner, clips, held_out)
    with torch.random.fork_rng(), _quiet(), tempfile.TemporaryDirectory() as scratch:
        from capfix_cli.training.training_callbacks import EpochCourse, make_callbacks

        evaluate = None
        if held_out is not None:
            evaluate = held_out_evaluator(captioner, held_out, encode, options.seed)
        course = EpochCourse(evaluate, _batches(clips, setup))
        callbacks = make_callbacks(
            course, best_folder=state or Path(scratch), state=state, patience=options.early_stopping
        )
        work = _Work(captioner, clips, setup, encode, callbacks, device, progress, state, logs)
        module.train()
        try:
            with synced(module) if _world() > 1 else contextlib.nullcontext():
                _run(work)
        except CapfixError as error:
            raise with_last_good(error, captioner, state) from error
        weights, best_epoch = callbacks.best_weights() or (None, 0)
    if weights is not None:
        module.load_state_dict(dict(weights))
    module.to("cpu").eval()
    return Trained(
        tuple(course.readings), best_epoch, callbacks.stopped, tuple(course.warnings), state
    )


def _trainable(
    captioner: Captioner, setup: TrainingConfig, held_out: TrainingClips | None
) -> nn.Module:
    """Give what learns.

    Raises:
        CapfixError: there is nothing, or early stopping has nothing to go by.
    """
    module = captioner.module
    if module is None or not any(p.requires_grad for p in module.parameters()):
        raise CapfixError("The captioner has no weights that can learn.", "Give it a module.")
    if setup.training.early_stopping and held_out is None:
        raise CapfixError(
            "training.early_stopping needs held-out clips to listen on.",
            "Set data.validation_share, such as 0.1.",
        )
    return module


def _batches(clips: TrainingClips, setup: TrainingConfig) -> Batches:
    epochs = Epochs(clips.captions, setup.training, setup.data)
    rank = int(os.environ.get("RANK", "0"))
    return Batches(epochs, setup.training.batch_size, rank, _world())


@dataclass(frozen=True)
class _Work:
    """What :func:`_run` runs; the fields are the arguments of :func:`train`."""

    captioner: Captioner
    clips: TrainingClips
    setup: TrainingConfig
    encode: Encode
    callbacks: TrainingCallbacks
    device: str
    progress: Report | None
    state: Path | None
    logs: Path | None


def _run(work: _Work) -> None:
    from lightning.pytorch import Trainer

    from capfix_cli.training.lightning_module import Training
    from capfix_cli.training.training_callbacks import WholeFiles

    captioner, setup, options = work.captioner, work.setup, work.setup.training
    batches = work.callbacks.course.batches
    loader: DataLoader[Any] = DataLoader(
        TrainingBatches(work.clips, setup.augmentation, options.seed),
        sampler=batches,
        batch_size=None,  # the sampler gives whole batches, and Lightning tells it the epoch
    )
    steps = len(batches) * options.epochs
    objective: Objective | TheirLoss = Objective(captioner, options, _total)
    if takes_their_loss(captioner, setup):
        objective = TheirLoss(captioner)
    trainer = Trainer(
        max_epochs=options.epochs,
        accelerator="gpu" if work.device.startswith("cuda") else "cpu",
        precision=cast(Any, options.precision),
        callbacks=work.callbacks.all(),
        plugins=[WholeFiles()],
        logger=_loggers(work.logs),
        log_every_n_steps=10,
        enable_checkpointing=work.callbacks.writes,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        **_processes(work.device),
    )
    module = Training(captioner, work.encode, objective, options, steps=steps, report=work.progress)
    state = work.state
    resume = state / LAST if state is not None and (state / LAST).is_file() else None
    try:
        trainer.fit(module, loader, ckpt_path=resume)
    except SystemExit as error:
        # Lightning turns Ctrl-C into an exit of its own; the command line tells it better.
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise


def _world() -> int:
    """Processes that train together: those that torchrun started."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _processes(device: str) -> dict[str, Any]:
    """How Lightning spreads the work: one device, or what torchrun says."""
    if _world() == 1:
        index = device.partition(":")[2]
        return {"devices": [int(index)] if device.startswith("cuda") and index else 1}
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return {"devices": local, "num_nodes": _world() // local, "strategy": "ddp"}


def _total(count: Tensor) -> Tensor:
    """Mean of a count over processes: DDP averages gradients, so the loss is of all words alike."""
    if not distributed.is_available() or not distributed.is_initialized():
        return count
    total = count.clone()
    distributed.all_reduce(total)
    return total / distributed.get_world_size()


def _loggers(logs: Path | None) -> Any:
    if logs is None:
        return False
    from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

    found: list[Any] = [CSVLogger(logs, name="csv")]
    with contextlib.suppress(ModuleNotFoundError):  # an extra of the user's
        found.append(TensorBoardLogger(logs, name="tensorboard"))
    return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning from telling about hardware, tips and workers."""
    with warnings.catch_warnings():
        for pattern in (
            r".*LeafSpec.*",  # a deprecated use of PyTorch
            r".*does not have many workers.*",  # does not hold for features in memory
            r".*log_every_n_steps.*",
            r".*GPU available but not used.*",
            r".*Checkpoint directory.*exists.*",
            r".*ckpt_path.*",
            r".*your dataloader is not resumable.*",  # its sampler is told where to go on
            r".*in eval mode.*",
            r".*tensorboard.*",
        ):
            warnings.filterwarnings("ignore", message=pattern)
        import lightning.pytorch  # noqa: F401

        # Importing Lightning sets its loggers to INFO: hardware and tips, on every run.
        for name in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.ERROR)
        yield
