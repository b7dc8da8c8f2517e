"""CNN encoder of capfix's own captioners, and one vector of its frames."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from capfix_cli.captioners.own.config_sections import EncoderConfig


class ConvBlock(nn.Module):
    """3x3 convolution, BatchNorm, ReLU, shrinking, dropout; optionally with a residual path.

    Shape: [B, C_in, T, M] -> [B, C_out, T or ceil(T/2), M // 2 or, with a stride, ceil(M/2)].
    """

    def __init__(self, c_in: int, c_out: int, config: EncoderConfig) -> None:
        super().__init__()
        shrink = (2, 2) if config.pooling == "time" else (1, 2)
        strided = config.downsampling == "stride"
        stride = shrink if strided else (1, 1)
        self.conv = nn.Conv2d(c_in, c_out, kernel_size=3, stride=stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(c_out)
        self.shortcut = nn.Conv2d(c_in, c_out, 1, stride=stride) if config.residual else None
        self.pool = nn.Identity() if strided else nn.MaxPool2d(shrink, ceil_mode=False)
        self.time_shrunk = config.pooling == "time"
        self.strided = strided
        self.drop = nn.Dropout2d(config.dropout)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Apply the block to [B] frames of each clip; gives the frames that are left of them."""
        y = F.relu(self.norm(self.conv(x)))
        if self.shortcut is not None:
            y = y + self.shortcut(x)
        left = (lengths + 1) // 2 if self.time_shrunk else lengths
        inside = inside_mask(left if self.strided else lengths, y.shape[2])
        # Biases fill the padding, and pooling would mix it into a clip's last frame.
        y = y * inside[:, None, :, None]
        if self.time_shrunk and not self.strided and y.shape[2] % 2:
            y = F.pad(y, (0, 0, 0, 1))  # keep the last frame of an odd count
        return self.drop(self.pool(y)), left


class Encoder(nn.Module):
    """CNN over log-mel frames.

    Shape: [B, T, n_mels] and [B] frames -> frames [B, T', width] and mask [B, T'] (True on
    frames of the clip). With ``pooling: time``, T' is 1: the clip's average.
    """

    def __init__(self, config: EncoderConfig, n_mels: int) -> None:
        super().__init__()
        self.pooling = config.pooling
        self.input_norm = nn.BatchNorm1d(n_mels)
        channels = [1] + [config.channels * min(2**i, 4) for i in range(config.depth)]
        self.blocks = nn.ModuleList(
            ConvBlock(c_in, c_out, config) for c_in, c_out in itertools.pairwise(channels)
        )
        bands = n_mels
        for _ in range(config.depth):
            bands = (bands + 1) // 2 if config.downsampling == "stride" else bands // 2
        self.out = nn.Linear(channels[-1] * bands, config.width)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode; the result of a clip does not depend on how far its batch is padded."""
        x = self.input_norm(features.transpose(1, 2)).transpose(1, 2)
        x = (x * inside_mask(lengths, features.shape[1]).unsqueeze(2)).unsqueeze(1)
        for block in self.blocks:
            # Padding is silenced in each block: convolution would otherwise let a clip's last
            # frames hear how much padding its neighbours in the batch need.
            x, lengths = block(x, lengths)
        x = F.relu(self.out(x.permute(0, 2, 1, 3).flatten(2)))
        return handed_over(x, lengths, self.pooling)


class Summary(nn.Module):
    """One vector a clip: the averages of its ``segments`` stretches, in their order, projected.

    Shape: [B, T, width] and [B, T] -> [B, width]. With one frame it is that frame, projected.
    """

    def __init__(self, width: int, segments: int) -> None:
        super().__init__()
        self.segments = segments
        self.out = nn.Linear(width * segments, width)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Average each stretch of each clip; stretches follow the clip's own length."""
        lengths = mask.sum(dim=1, keepdim=True)  # [B, 1]
        position = torch.arange(frames.shape[1], device=frames.device).unsqueeze(0)
        stretch = (position * self.segments // lengths).clamp(max=self.segments - 1)
        weights = F.one_hot(stretch, self.segments).to(frames.dtype) * mask.unsqueeze(2)
        # A clip with fewer frames than stretches leaves some empty: they stay at zero.
        weights = weights / weights.sum(dim=1, keepdim=True).clamp_min(1.0)
        stretches = torch.einsum("bts,btd->bsd", weights, frames)
        return F.relu(self.out(stretches.flatten(1)))


def handed_over(frames: Tensor, lengths: Tensor, pooling: str) -> tuple[Tensor, Tensor]:
    """Give the decoder a clip's frames, or with ``pooling: time`` their average.

    Shape: [B, T, width] and [B] frames -> [B, T or 1, width], zero beyond each clip's own, and
    their mask [B, T or 1].
    """
    inside = inside_mask(lengths, frames.shape[1])
    frames = frames * inside.unsqueeze(2)
    if pooling == "time":
        return frames.sum(dim=1, keepdim=True) / lengths[:, None, None], inside[:, :1]
    return frames, inside


def inside_mask(lengths: Tensor, size: int) -> Tensor:
    """[B] lengths -> [B, size], True inside each length."""
    return torch.arange(size, device=lengths.device).unsqueeze(0) < lengths.unsqueeze(1)
