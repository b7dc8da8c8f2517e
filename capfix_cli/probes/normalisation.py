"""Whether features are those that a network was trained on, by what its BatchNorms remember."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.captioners.base import Captioner
from capfix_cli.probes.network_modules import networks

LEAST_VARIANCE = 1e-12
SETTLED = 30  # batches: at the usual momentum of .1 a 25th of the initial values is left


@dataclass(frozen=True)
class Fit:
    """How far real features are from a layer's running statistics.

    Attributes:
        layer: its name.
        variance: mean |ln (variance / running variance)| over channels.
        shift: mean |mean - running mean| in running standard deviations.
    """

    layer: str
    variance: float
    shift: float

    @property
    def misfit(self) -> float:
        """Both together; a shift of one deviation counts as a variance e times too large."""
        return self.variance + self.shift


class Unsettled(ProbeFailed):
    """Statistics are there, but of so few batches that the network was hardly trained."""


class _Enough(Exception):  # noqa: N818 - it ends a pass that has shown what it was made for
    pass


def statistics_layers(captioner: Captioner) -> list[tuple[str, nn.Module]]:
    """List the BatchNorm layers that keep running statistics and have taken some.

    Raises:
        Untestable: there is none.
    """
    layers = networks(captioner).items()
    found: list[tuple[str, nn.Module]] = [
        (name, layer)
        for name, layer in layers
        if isinstance(layer, nn.modules.batchnorm._BatchNorm)
        and layer.running_mean is not None
        and layer.running_var is not None
        and not _fresh(layer)
    ]
    if not found and any(isinstance(x, nn.modules.batchnorm._BatchNorm) for _, x in layers):
        raise Unsettled(f"BatchNorm statistics of {SETTLED} batches or more")
    if not found:
        raise ProbeFailed("BatchNorm statistics in the network")
    return found


def _fresh(layer: nn.modules.batchnorm._BatchNorm) -> bool:
    """Say whether running statistics still hold more of their initial values than of the data."""
    seen = layer.num_batches_tracked
    return seen is not None and int(seen) < SETTLED


@torch.inference_mode()
def measure_fit(captioner: Captioner, run: Any, *, first_only: bool = False) -> list[Fit]:
    """Encode real clips and compare what reaches each BatchNorm with what it remembers.

    Args:
        captioner: with BatchNorm layers.
        run: encodes clips of one length.
        first_only: end the pass at the first of them, which is cheap.

    Returns:
        in the order in which the layers ran.

    Raises:
        Untestable: there is no such layer, or none ran.
    """
    found: list[Fit] = []
    handles = []
    for name, layer in statistics_layers(captioner):

        def hook(module: nn.Module, given: tuple[Any, ...], name: str = name) -> None:
            if given and isinstance(given[0], Tensor):
                found.append(_compare(name, module, given[0]))
                if first_only:
                    raise _Enough

        handles.append(layer.register_forward_pre_hook(hook))
    try:
        run()
    except _Enough:
        pass
    finally:
        for handle in handles:
            handle.remove()
    if not found:
        raise ProbeFailed("BatchNorm layers that hear the audio")
    return found


def _compare(name: str, layer: Any, given: Tensor) -> Fit:
    """[B, C, ...] against running statistics of C channels."""
    flat = given.float().transpose(0, 1).flatten(1)
    running = layer.running_var.float().clamp_min(LEAST_VARIANCE)
    variance = flat.var(dim=1).clamp_min(LEAST_VARIANCE)
    ratio = (variance / running).log().abs().mean()
    shift = ((flat.mean(dim=1) - layer.running_mean.float()).abs() / running.sqrt()).mean()
    return Fit(name, float(ratio), float(shift))


def expected_spread(captioner: Captioner, layer: str) -> tuple[float, float]:
    """Give mean and deviation of all features that a layer was trained on, channels joined."""
    norm: Any = dict(statistics_layers(captioner))[layer]
    mean = norm.running_mean.float()
    total = float(norm.running_var.float().mean() + mean.var(unbiased=False))
    return float(mean.mean()), max(total, LEAST_VARIANCE) ** 0.5
