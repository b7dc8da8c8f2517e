"""Other scales of features given as arrays: what a search tries in place of front ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from capfix_cli.captioners.base import Captioner
from capfix_cli.captioners.feature_captioner import OverFeatures
from capfix_cli.features.scalers import Scaler, find_scalers
from capfix_cli.probes.front_end_candidates import feature_candidates, standardised_candidates
from capfix_cli.probes.front_ends import FrontEnd, Statistics

MOST_BANDS = 256  # of a mel spectrogram; wider features are a network's, and have no logarithm
ID: Literal["input.feature-scale"] = "input.feature-scale"
AS_THEY_ARE = "the arrays as they are"


def array_candidates(
    captioner: Captioner, known: Statistics, checkpoint: str
) -> Iterator[FrontEnd]:
    """List the changes of arrays that undo a usual mistake, the surest first.

    These are a scaler that the checkpoint holds, applied or taken back; unit length; bytes as
    shares; standardised by their own moments; and, where frames are as narrow as mel bands, the
    logarithms of another unit.

    Args:
        captioner: reads features, one array of measured values a clip.
        known: of its features.
        checkpoint: path of its file; empty where there is none.
    """
    assert isinstance(captioner, OverFeatures)
    width = captioner.given.layout.width
    for scaler in find_scalers(checkpoint):
        if scaler.width == width:
            yield from _of_scaler(scaler)
    yield FrontEnd(
        ID,
        "frames of unit length",
        AS_THEY_ARE,
        "features = torch.nn.functional.normalize(features, dim=-1)",
        features=lambda x: torch.nn.functional.normalize(x, dim=-1),
    )
    if known.least >= 0 and 1.5 < known.most <= 255:
        yield FrontEnd(
            ID,
            "bytes as shares of 255",
            AS_THEY_ARE,
            "features = features / 255",
            features=lambda x: x / 255,
        )
    of_all = feature_candidates if width <= MOST_BANDS else standardised_candidates
    yield from (front for front in of_all(known) if front.waveform == 1.0)


def _of_scaler(scaler: Scaler) -> Iterator[FrontEnd]:
    mean, scale = torch.from_numpy(scaler.mean), torch.from_numpy(scaler.scale)
    place = f"the {scaler.kind} in the checkpoint ({scaler.place})"

    def standardised(x: Tensor) -> Tensor:
        return (x - mean.to(x)) / scale.to(x)

    def taken_back(x: Tensor) -> Tensor:
        return x * scale.to(x) + mean.to(x)

    yield FrontEnd(
        ID,
        f"standardised by {place}",
        AS_THEY_ARE,
        "features = (features - scaler.mean_) / scaler.scale_  # in encode_features()",
        features=standardised,
    )
    yield FrontEnd(
        ID,
        f"as before {place} was applied",
        AS_THEY_ARE,
        "features = features * scaler.scale_ + scaler.mean_  # in encode_features()",
        features=taken_back,
    )
