"""Data sets of ``aac-datasets`` (Clotho, AudioCaps, MACS, WavCaps), or anything with their items.

An item has ``audio`` ([channels, samples] or [samples]), ``sr`` in Hz, ``captions`` and ``fname``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import torch

from capfix_cli.audio.audio_batches import usable_samples
from capfix_cli.captioners.own.mel_frames import make_front_end
from capfix_cli.captioners.own.own_config import FrontEndConfig
from capfix_cli.core.errors import CapfixError
from capfix_cli.schemas.clip_records import SkippedClip
from capfix_cli.training.caption_data import Progress, log_mel
from capfix_cli.training.feature_cache import FeatureCache, Features
from capfix_cli.training.training_clips import TrainingClips

# Data set -> the subset to train on where none is named.
SUBSETS = {"Clotho": "dev", "AudioCaps": "train", "MACS": "full", "WavCaps": "as"}


class CaptionedDataset(Protocol):
    """What is asked of a data set."""

    def __len__(self) -> int:
        """How many items."""

    def __getitem__(self, index: int) -> Any:
        """One item, a mapping."""


def open_dataset(name: str, root: str, subset: str = "") -> CaptionedDataset:
    """Open a data set of aac-datasets from where it is; nothing is downloaded.

    Args:
        name: as in ``SUBSETS``.
        root: folder that holds it, as aac-datasets calls it.
        subset: the one to train on where empty.

    Raises:
        CapfixError: the package is missing, or has no such data set, or it is not there.
    """
    if name not in SUBSETS:
        raise CapfixError(f"{name!r} is not a data set.", f"One of {', '.join(SUBSETS)}.")
    subset = subset or SUBSETS[name]
    try:
        package = import_module("aac_datasets")
    except ImportError as error:
        raise CapfixError(
            "Data sets by name need the package aac-datasets.",
            "pip install aac-datasets, or give --captions CSV and --audio DIR.",
        ) from error
    try:
        dataset: CaptionedDataset = getattr(package, name)(
            root=root, subset=subset, download=False, verbose=0
        )
    except (OSError, RuntimeError, ValueError, AttributeError) as error:
        raise CapfixError(
            f"{name} ({subset}) cannot be opened in {root}: {str(error).splitlines()[0]:.120}.",
            f"Fetch it first: aac-datasets-download --root {root} {name.lower()}",
        ) from error
    return dataset


def load_dataset(
    dataset: CaptionedDataset,
    front_end: FrontEndConfig,
    root: Path,
    progress: Progress | None = None,
) -> TrainingClips:
    """Compute the features of a data set once; items that cannot be used are listed.

    Rows of the same ``fname`` are one clip with the captions of all of them.

    Raises:
        CapfixError: no item can be used.
    """
    cache, front = FeatureCache(root, {"front_end": repr(front_end)}), make_front_end(front_end)
    captions: dict[str, list[str]] = {}
    paths: dict[str, Path] = {}
    skipped: list[SkippedClip] = []
    unmatched: list[str] = []
    for done, (name, item) in enumerate(_items(dataset, skipped), 1):
        texts = [str(text) for text in item.get("captions") or () if str(text).strip()]
        if not texts:
            unmatched.append(name)
        elif name in captions:
            captions[name] += texts
        else:
            samples = _mono(name, item, dataset, front_end)
            if isinstance(samples, SkippedClip):
                skipped.append(samples)
                continue
            digest = hashlib.blake2b(samples.numpy().tobytes(), digest_size=16).hexdigest()
            path = cache.path(digest)
            if not cache.has(path):
                cache.put(path, log_mel(front, samples))
            captions[name], paths[name] = texts, path
        if progress is not None:
            progress(done, len(dataset))
    if not captions:
        first = f": {skipped[0].path} is {skipped[0].reason}" if skipped else ""
        raise CapfixError(f"No item of the data set can be used{first}.", "Check its files.")
    names = sorted(captions)
    return TrainingClips(
        Features(cache, [paths[name] for name in names]),
        [captions[name] for name in names],
        tuple(skipped),
        tuple(unmatched),
        names,
        cached=(cache.folder, cache.size()),
    )


def _items(dataset: CaptionedDataset, skipped: list[SkippedClip]) -> Iterator[tuple[str, Any]]:
    """Give each item with its name; one that fails to load is told and passed over."""
    for index in range(len(dataset)):
        try:
            item = dataset[index]
            yield str(item["fname"]), item
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            skipped.append(SkippedClip(f"item {index}", f"unreadable: {error!s:.100}"))


def _mono(
    name: str, item: Any, dataset: CaptionedDataset, front_end: FrontEndConfig
) -> torch.Tensor | SkippedClip:
    """Give an item's [samples] at the front end's rate, or why it cannot be used."""
    audio = torch.as_tensor(item["audio"], dtype=torch.float32)
    samples = audio.mean(dim=0) if audio.ndim == 2 else audio
    # Items of WavCaps come without a rate in some versions; the data set itself knows it.
    rate = int(item.get("sr") or getattr(dataset, "sample_rate", 0) or getattr(dataset, "sr", 0))
    return usable_samples(name, samples, rate, front_end.sample_rate, front_end.min_samples)
