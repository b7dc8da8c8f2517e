"""BatchNorm over all processes, on any device: PyTorch's own SyncBatchNorm needs GPUs.

With it, several processes that share a batch compute what one would (to rounding).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, distributed, nn


class _Sum(torch.autograd.Function):
    """Sum over processes. What each adds reaches the losses of all, so gradients sum as well."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Sum the values."""
        total = x.detach().clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        """Sum the gradients."""
        total = grads[0].clone()
        distributed.all_reduce(total)
        return total


def _total(x: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(x)
    return total


class _Synced(nn.modules.batchnorm._BatchNorm):
    def forward(self, x: Tensor) -> Tensor:
        """Normalise by the mean and variance over the batches of all processes."""
        if not self.training or not distributed.is_initialized():
            return super().forward(x)
        axes = [axis for axis in range(x.ndim) if axis != 1]
        width, shape = x.shape[1], [1, x.shape[1], *[1] * (x.ndim - 2)]
        count = x.new_tensor([float(x.numel() // width)])
        total = _total(torch.cat([x.sum(axes), count]))
        mean, number = total[:width] / total[-1], total[-1]
        centred = x - mean.view(shape)
        # Squares about the mean in a second pass: a difference of large sums would lose digits.
        squares = _total(centred.square().sum(axes))
        variance = squares / number
        self._remember(mean.detach(), variance.detach() * number / (number - 1).clamp(min=1))
        y: Tensor = centred * (variance + self.eps).rsqrt().view(shape)
        if self.weight is not None:
            y = y * self.weight.view(shape) + self.bias.view(shape)
        return y

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        momentum = self.momentum if self.momentum is not None else 0.1
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)


class _Synced1d(_Synced, nn.BatchNorm1d):
    pass


class _Synced2d(_Synced, nn.BatchNorm2d):
    pass


_KINDS: dict[type, type] = {nn.BatchNorm1d: _Synced1d, nn.BatchNorm2d: _Synced2d}


@contextlib.contextmanager
def synced(module: nn.Module) -> Iterator[None]:
    """Let the BatchNorms of a network see all processes; its parameters stay where they are."""
    changed = [(part, type(part)) for part in module.modules() if type(part) in _KINDS]
    for part, kind in changed:
        part.__class__ = _KINDS[kind]
    try:
        yield
    finally:
        for part, kind in changed:
            part.__class__ = kind
