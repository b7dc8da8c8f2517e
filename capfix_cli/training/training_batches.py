"""Batches of training: clips and captions of an epoch's items, altered as the recipe says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from capfix_cli.core.randomness import stream
from capfix_cli.training.augment.feature_augment import draw_mix, mask, mix
from capfix_cli.training.item_order import Item, Part
from capfix_cli.training.training_clips import TrainingClips
from capfix_cli.training.training_config import AugmentationOptions

# signals [B, T, bands] or [B, samples], lengths [B], captions; with mixup also other and share.
Batch = dict[str, Any]


class TrainingBatches(Dataset[Batch]):
    """Gives a process's part of a batch; a clip's draws depend on seed, epoch and clip."""

    def __init__(self, clips: TrainingClips, options: AugmentationOptions, seed: int) -> None:
        self.clips = clips
        self.options = options
        self.seed = seed

    def __getitem__(self, part: Part) -> Batch:
        # The whole batch is made and padded, whatever part of it is wanted: partners of a mix and
        # statistics over padded frames are then those of one process.
        items = part.items
        signals = [self._signal(item) for item in items]
        captions = [self.clips.captions[item.clip][item.caption] for item in items]
        own = slice(part.rank, None, part.world)
        batch: Batch = {"captions": captions[own]}
        if self.options.mixup and len(items) > 1:
            signals, other, share = self._mixed(signals, captions, items)
            batch |= {"other": other[own], "share": share[own]}
        lengths = torch.tensor([len(signal) for signal in signals])
        batch["lengths"] = lengths[own]
        batch["signals"] = pad_sequence(signals, batch_first=True)[own]
        return batch

    def _signal(self, item: Item) -> Tensor:
        clips, options = self.clips, self.options
        generator = stream(self.seed, "training.variant", item.epoch, item.clip)
        copy = int(generator.integers(len(clips.altered) + 1)) if clips.altered else 0
        whole = clips.altered[copy - 1] if copy else clips.features
        signal = whole[item.clip].float()
        if (options.mask_bands or options.mask_frames) and signal.ndim == 2:
            generator = stream(self.seed, "training.mask", item.epoch, item.clip)
            signal = mask(signal, options.mask_bands, options.mask_frames, generator)
        return signal

    def _mixed(
        self, signals: Sequence[Tensor], captions: Sequence[str], items: Sequence[Item]
    ) -> tuple[list[Tensor], list[str], Tensor]:
        generator = stream(self.seed, "training.mix", items[0].epoch, items[0].clip)
        partners, shares = draw_mix(len(signals), self.options.mixup, generator)
        mixed = [
            mix(signal, signals[partner], share)
            for signal, partner, share in zip(signals, partners, shares.tolist(), strict=True)
        ]
        return mixed, [captions[partner] for partner in partners], shares
