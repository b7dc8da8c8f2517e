"""The same captioner with some of its methods replaced: how repairs and front ends are tried."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from torch import Tensor

from capfix_cli.captioners.base import Captioner, Memory
from capfix_cli.probes.geometry import separates
from capfix_cli.probes.network_modules import forget_checks


def derive(captioner: Captioner, **replaced: Any) -> Captioner:
    """Make a captioner that shares everything with another but what is replaced.

    Functions become methods and take the captioner first; other values become attributes. The
    network is shared, not copied.
    """
    methods = {name: value for name, value in replaced.items() if callable(value)}
    kind = type(f"Changed{type(captioner).__name__}", (type(captioner),), methods)
    changed: Captioner = object.__new__(kind)
    changed.__dict__.update(forget_checks(captioner))
    changed.__dict__.update({k: v for k, v in replaced.items() if k not in methods})
    return changed


REMEMBERED = 4  # kinds of features: a search goes through its changes of samples in turn


def remembering(captioner: Captioner) -> Captioner:
    """Compute the features of the same samples once, for a search over changes of features."""
    if not separates(captioner):
        return captioner
    known: OrderedDict[bytes, tuple[Tensor, Tensor]] = OrderedDict()

    def features(self: Captioner, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        key = hashlib.blake2b(waveforms.detach().cpu().contiguous().numpy().tobytes())
        key.update(repr((waveforms.shape, lengths.tolist())).encode())
        if key.digest() not in known:
            known[key.digest()] = captioner.features(waveforms, lengths)
            while len(known) > REMEMBERED:
                known.popitem(last=False)
        frames, counts = known[key.digest()]
        return frames, counts.clone()

    return derive(captioner, features=features, encode=Captioner.encode)


def on_waveforms(captioner: Captioner, change: Callable[[Tensor], Tensor]) -> Captioner:
    """Change what a captioner hears."""

    def encode(self: Captioner, waveforms: Tensor, lengths: Tensor) -> Memory:
        return captioner.encode(change(waveforms), lengths)

    if not separates(captioner):
        return derive(captioner, encode=encode)

    def features(self: Captioner, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return captioner.features(change(waveforms), lengths)

    return derive(captioner, features=features, encode=Captioner.encode)


def on_features(captioner: Captioner, change: Callable[[Tensor], Tensor]) -> Captioner:
    """Change the features that a captioner's encoder takes."""

    def features(self: Captioner, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        found, counts = captioner.features(waveforms, lengths)
        return change(found), counts

    return derive(captioner, features=features, encode=Captioner.encode)


def on_padding(captioner: Captioner, change: Callable[[Tensor, Tensor], Tensor]) -> Captioner:
    """Change features by their lengths in frames."""

    def features(self: Captioner, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        found, counts = captioner.features(waveforms, lengths)
        return change(found, counts), counts

    return derive(captioner, features=features, encode=Captioner.encode)
