"""Training capfix's own captioners, with Lightning."""

from __future__ import annotations

import dataclasses
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from capfix_cli.captioners.own.captioner import OwnCaptioner
from capfix_cli.captioners.own.config import CaptionerConfig
from capfix_cli.recipes.data import (
    CaptionedClips,
    Collated,
    TrainingClips,
    build_vocabulary,
    collate,
)


@dataclass(frozen=True)
class TrainingOptions:
    """How to train.

    Attributes:
        epochs: passes over the clips; each gives one of a clip's captions, drawn anew.
        batch_size: clips.
        learning_rate: of AdamW.
        weight_decay: of AdamW.
        gradient_clip: largest norm of the gradient.
        label_smoothing: share of the target spread over all words.
        seed: of the first weights, the order, the captions drawn and dropout.
    """

    epochs: int = 20
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    gradient_clip: float = 5.0
    label_smoothing: float = 0.0
    seed: int = 0

    def facts(self, captions_per_clip: int) -> dict[str, Any]:
        """What a checkpoint remembers of its training."""
        return {**dataclasses.asdict(self), "captions_per_clip": captions_per_clip}


Report = Callable[[int, int, float], None]  # steps done, steps in all, loss in nats a token


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
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)
        captioner = OwnCaptioner(config, build_vocabulary(clips.captions))
        loader: DataLoader[Any] = DataLoader(
            CaptionedClips(clips, options.seed),
            batch_size=options.batch_size,
            shuffle=True,
            collate_fn=collate,
            generator=torch.Generator().manual_seed(options.seed),
            # A last batch of one clip would have no batch statistics worth the name.
            drop_last=len(clips.features) > options.batch_size,
        )
        captioner.module.train()
        _run(captioner, loader, options, device, progress)
    captioner.module.to("cpu").eval()
    return captioner


def _run(
    captioner: OwnCaptioner,
    loader: DataLoader[Any],
    options: TrainingOptions,
    device: str,
    progress: Report | None,
) -> None:
    with warnings.catch_warnings():
        # Lightning's own: a deprecated use of PyTorch, and advice on workers that does not hold
        # for features in memory.
        warnings.filterwarnings("ignore", message=r".*LeafSpec.*")
        warnings.filterwarnings("ignore", message=r".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=r".*log_every_n_steps.*")
        warnings.filterwarnings("ignore", message=r".*GPU available but not used.*")
        from lightning.pytorch import Trainer

        # Importing Lightning sets its loggers to INFO: hardware and tips, on every run.
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

        trainer = Trainer(
            max_epochs=options.epochs,
            accelerator="gpu" if device.startswith("cuda") else "cpu",
            devices=1,
            gradient_clip_val=options.gradient_clip,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        trainer.fit(_module(captioner, options, len(loader) * options.epochs, progress), loader)


def _module(
    captioner: OwnCaptioner, options: TrainingOptions, steps: int, progress: Report | None
) -> Any:
    """Wrap a captioner as Lightning wants it; a function, so that Lightning loads when used."""
    from lightning.pytorch import LightningModule

    class Training(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = captioner.module

        def training_step(self, batch: Collated, index: int) -> Tensor:
            features, lengths, captions = batch
            loss = captioner.feature_loss(features, lengths, captions, options.label_smoothing)
            if progress is not None:
                progress(self.global_step + 1, steps, float(loss.detach()))
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(
                self.network.parameters(),
                lr=options.learning_rate,
                weight_decay=options.weight_decay,
            )

    return Training()
