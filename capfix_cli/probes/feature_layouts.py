"""Features laid out or padded otherwise: what else the network may have been trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from capfix_cli.audio.clip_sample import PROBED, ProbeFailed, Sample
from capfix_cli.captioners.base import Captioner
from capfix_cli.captioners.feature_captioner import reads_features
from capfix_cli.probes.captioner_errors import probe_failure
from capfix_cli.probes.captioner_variants import remembering
from capfix_cli.probes.front_end_search import CONTRAST, References, listen_quickly
from capfix_cli.probes.front_ends import Change, FrontEnd
from capfix_cli.probes.geometry import separates


@dataclass(frozen=True)
class Layouts:
    """What came of trying other layouts.

    Attributes:
        best: the one that listens most.
        best_share: bits with it, as a share of their ceiling.
        own_share: as it is.
        tried: how many were.
    """

    best: FrontEnd
    best_share: float
    own_share: float
    tried: int

    @property
    def gain(self) -> float:
        """What it listens more."""
        return self.best_share - self.own_share


def axes_candidates() -> list[FrontEnd]:
    """List exchanges and reversals of the two axes of features [B, a, b]."""

    def front(expected: str, line: str, change: Change) -> FrontEnd:
        return FrontEnd("input.axes", expected, "features as they are", line, features=change)

    return [
        front(
            "time and frequency exchanged",
            "features = features.transpose(1, 2)",
            lambda x: x.transpose(1, 2).contiguous(),
        ),
        front(
            "axes exchanged by reshape, which mixes them",
            "features = features.transpose(1, 2)  # in place of reshape or view",
            lambda x: x.reshape(len(x), x.shape[2], x.shape[1]).transpose(1, 2).contiguous(),
        ),
        front("the first axis reversed", "features = features.flip(1)", lambda x: x.flip(1)),
        front("the second axis reversed", "features = features.flip(2)", lambda x: x.flip(2)),
    ]


def padding_candidates(captioner: Captioner) -> list[FrontEnd]:
    """List what may stand behind a clip's own frames: zeros, its least value, silence."""

    def filled(values: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        def change(features: Tensor, lengths: Tensor) -> Tensor:
            axis = time_axis(features, lengths)
            frames = features.movedim(axis, 1)
            place = torch.arange(frames.shape[1]).unsqueeze(0)
            inside = (place < lengths.unsqueeze(1)).view(len(frames), -1, *[1] * (frames.ndim - 2))
            value = values(frames, inside).to(frames)
            return torch.where(inside, frames, value).movedim(1, axis).contiguous()

        return change

    def least(frames: Tensor, inside: Tensor) -> Tensor:
        lowest = frames.masked_fill(~inside, torch.inf).flatten(1).amin(1)
        return lowest.view(-1, *[1] * (frames.ndim - 1))

    def silence(frames: Tensor, inside: Tensor) -> Tensor:
        # A second of it, of which the first frame is as good as any; of features their mean.
        quiet = torch.zeros(1, max(captioner.sample_rate, captioner.min_samples))
        counts = torch.tensor([quiet.shape[1]])
        if reads_features(captioner):
            quiet, counts = captioner.blank_audio(noise=False, seed=0)
        found, counts = captioner.features(quiet, counts)
        return found.movedim(time_axis(found, counts), 1)[:, :1]

    named = (
        (lambda frames, inside: torch.zeros(()), "zeros behind each clip", "0"),
        (least, "each clip's least value behind it", "the clip's minimum"),
        (silence, "silence behind each clip", "what silent samples give"),
    )
    return [
        FrontEnd(
            "input.padding-value",
            expected,
            "what stands there now",
            f"features padded with {value}",
            padded=filled(values),
        )
        for values, expected, value in named
    ]


def time_axis(features: Tensor, lengths: Tensor) -> int:
    """Say which axis of features counts frames: the one that is as long as the longest clip."""
    longest = int(lengths.max())
    axes = [axis for axis in range(1, features.ndim) if features.shape[axis] == longest]
    return axes[0] if axes else 1


@torch.inference_mode()
def try_layouts(
    captioner: Captioner,
    sample: Sample,
    candidates: Sequence[FrontEnd],
    seed: int,
    references: References | None,
) -> Layouts:
    """Listen with each.

    Args:
        captioner: whose features can be had apart.
        sample: of clips.
        candidates: at least one.
        seed: of contrast sets.
        references: clip name -> references, or None.

    Raises:
        ProbeFailed: the features cannot be had apart, or the network takes none of the others.
    """
    if not separates(captioner):
        raise ProbeFailed("features apart from the encoder (features() and encode_features())")
    captioner = remembering(captioner)

    def share(changed: Captioner) -> float:
        heard = listen_quickly(changed, sample, seed, references, clips=PROBED, contrast=CONTRAST)
        return 0.0 if heard is None else heard.deciding_share

    found = []
    for front in candidates:
        try:
            found.append((share(front.apply(captioner)), front))
        except Exception as error:
            # A layout that the network cannot take; a fault of capfix keeps its traceback.
            if probe_failure(error) is None:
                raise
    if not found:
        raise ProbeFailed("a network that takes features in another layout")
    best_share, best = max(found, key=lambda pair: pair[0])
    return Layouts(best, best_share, share(captioner), len(found))
