"""Where the audio is lost: the share of between-clip variation, place by place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from capfix_cli.audio.clip_sample import ProbeFailed, Sample
from capfix_cli.captioners.base import Captioner
from capfix_cli.captioners.feature_captioner import reads_features
from capfix_cli.core.thresholds import SAME_TO_THE_BIT
from capfix_cli.decoding import nested_tensors as nested
from capfix_cli.decoding.caption_scoring import Tokens
from capfix_cli.probes.geometry import separates
from capfix_cli.probes.network_modules import first_tensor, watched
from capfix_cli.probes.next_word import along

CLIPS = 13  # a prime: an axis of that size is that of the clips
MOST_LAYERS = 24  # shown of encoder and of decoder; of more, every second or third


@dataclass(frozen=True)
class SignalStage:
    """One place that the audio passes.

    Attributes:
        place: ``waveform``, ``features``, ``encoder NAME``, ``memory``, ``decoder NAME``,
            ``decoder state`` or ``next word``.
        share: between-clip variance over mean square there; 0 where all clips look alike.
    """

    place: str
    share: float


class _Sums:
    """Between-clip variance and mean square of a layer, over all its calls."""

    def __init__(self) -> None:
        self.between = self.total = 0.0

    def add(self, rows: Tensor) -> None:
        """Add a layer's output, [clips, ...]."""
        flat = rows.detach().flatten(1).float()
        if not bool(flat.isfinite().all()):
            flat = flat.nan_to_num(0.0, 0.0, 0.0)
        self.between += float(flat.var(dim=0, unbiased=False).mean())
        self.total += float((flat**2).mean())

    @property
    def share(self) -> float:
        return self.between / self.total if self.total > 0 else 0.0


@torch.inference_mode()
def measure_signal(
    captioner: Captioner, sample: Sample, caption: Tokens
) -> tuple[SignalStage, ...]:
    """Follow the clips' differences from waveform to next word in one pass.

    All clips have one length and are followed along one caption, so that nothing but the audio
    differs between them. Layers are seen by hooks on any ``nn.Module``; without one, what can be
    seen from outside remains: waveform, features, memory, state and next word.

    Raises:
        Untestable: there are too few waveforms.
    """
    waveforms, lengths = sample.cropped(CLIPS)
    if len(waveforms) < 4:
        raise ProbeFailed("the waveforms of at least four clips")
    sums: dict[str, dict[str, _Sums]] = {"encoder": {}, "decoder": {}}
    part = "encoder"
    rows = len(waveforms)

    def watcher(name: str, layer: nn.Module, given: tuple[Any, ...], gave: Any) -> None:
        tensor = first_tensor(gave)
        if name and tensor is not None:
            axis = _axis(tensor, rows, captioner.memory_batch_dim)
            if axis is not None and tensor.numel() > rows:
                sums[part].setdefault(name, _Sums()).add(tensor.movedim(axis, 0))

    try:
        with watched(captioner, watcher):
            memory = captioner.encode(waveforms, lengths)
            part = "decoder"
            found = along(captioner, memory, [caption[:8]] * rows)
    except ProbeFailed:
        memory = captioner.encode(waveforms, lengths)
        found = along(captioner, memory, [caption[:8]] * rows)
    first = "features" if reads_features(captioner) else "waveform"
    places = [SignalStage(first, _share([waveforms]))]
    if separates(captioner) and first == "waveform":
        places.append(SignalStage("features", _share([captioner.features(waveforms, lengths)[0]])))
    places += _layers("encoder", sums["encoder"])
    places.append(SignalStage("memory", _share(_tensors(memory, captioner.memory_batch_dim))))
    places += _layers("decoder", sums["decoder"])
    _, state = captioner.open(captioner.prepare(memory))
    state_tensors = _tensors(state, captioner.state_batch_dim)
    if state_tensors:
        places.append(SignalStage("decoder state", _share(state_tensors)))
    places.append(SignalStage("next word", _share([found.exp()])))
    # What is the same for all clips while later places still differ, such as the embedding of the
    # words before, is not on the audio's way.
    last = max((n for n, p in enumerate(places) if p.share > SAME_TO_THE_BIT.value), default=0)
    return tuple(p for n, p in enumerate(places) if n >= last or p.share > SAME_TO_THE_BIT.value)


def _axis(tensor: Tensor, rows: int, preferred: int) -> int | None:
    axes = [axis for axis, size in enumerate(tensor.shape) if size == rows]
    if 0 in axes:
        return 0
    return preferred if preferred in axes else next(iter(axes), None)


def _tensors(value: Any, dim: int) -> list[Tensor]:
    found: list[Tensor] = []

    def take(tensor: Tensor) -> Tensor:
        # Nothing is held yet where a caption begins right after what was heard.
        if tensor.is_floating_point() and tensor.ndim > dim and tensor.numel():
            found.append(tensor.movedim(dim, 0))
        return tensor

    nested.apply(value, take)
    return found


def _share(tensors: Sequence[Tensor]) -> float:
    sums = _Sums()
    for tensor in tensors:
        sums.add(tensor)
    return sums.share


def _layers(part: str, sums: dict[str, _Sums]) -> list[SignalStage]:
    """In the order in which they ran; a container that repeats its last layer is left out."""
    kept = [
        (name, found)
        for name, found in sums.items()
        if not any(other.startswith(f"{name}.") and _same(found, sums[other]) for other in sums)
    ]
    step = max(1, -(-len(kept) // MOST_LAYERS))
    return [SignalStage(f"{part} {name}", found.share) for name, found in kept[::step]]


def _same(one: _Sums, other: _Sums) -> bool:
    return one.between == other.between and one.total == other.total
