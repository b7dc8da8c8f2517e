"""Log-mel front end and CNN encoder of capfix's own captioners."""

from __future__ import annotations

import itertools

import torch
import torchaudio
from torch import Tensor, nn
from torch.nn import functional as F

from capfix_cli.captioners.own.config import EncoderConfig, FrontEndConfig

LOG_FLOOR = 1e-6  # power below which a mel band counts as silent; keeps the logarithm finite


class LogMel(nn.Module):
    """Waveforms to natural-log mel frames.

    Shape: [B, samples] and [B] samples -> [B, frames, n_mels] and [B] frames; frames beyond a
    clip's length are those of silence.
    """

    def __init__(self, config: FrontEndConfig) -> None:
        super().__init__()
        self.hop_length = config.hop_length
        self.mel = torchaudio.transforms.MelSpectrogram(
            config.sample_rate,
            n_fft=config.n_fft,
            hop_length=config.hop_length,
            n_mels=config.n_mels,
            pad_mode="constant",  # reflection fails on clips shorter than half a window
        )

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the frames; every clip has at least one."""
        power: Tensor = self.mel(waveforms)
        frames = power.clamp_min(LOG_FLOOR).log().transpose(1, 2)
        return frames, (lengths // self.hop_length + 1).clamp(max=frames.shape[1])


class ConvBlock(nn.Module):
    """3x3 convolution, BatchNorm, ReLU, pooling, dropout; optionally with a residual path.

    Shape: [B, C_in, T, M] -> [B, C_out, T or ceil(T/2), M // 2].
    """

    def __init__(self, c_in: int, c_out: int, config: EncoderConfig) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel_size=3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(c_out)
        self.shortcut = nn.Conv2d(c_in, c_out, kernel_size=1) if config.residual else None
        self.pool = nn.MaxPool2d((2, 2) if config.pooling == "time" else (1, 2), ceil_mode=False)
        self.time_pooled = config.pooling == "time"
        self.drop = nn.Dropout2d(config.dropout)

    def forward(self, x: Tensor, inside: Tensor) -> Tensor:
        """Apply the block; ``inside`` [B, T] is True on the clip's own frames."""
        y = F.relu(self.norm(self.conv(x)))
        if self.shortcut is not None:
            y = y + self.shortcut(x)
        # Biases fill the padding, and pooling would mix it into a clip's last frame.
        y = y * inside[:, None, :, None]
        if self.time_pooled and y.shape[2] % 2:
            y = F.pad(y, (0, 0, 0, 1))  # keep the last frame of an odd count
        dropped: Tensor = self.drop(self.pool(y))
        return dropped


class Encoder(nn.Module):
    """CNN over log-mel frames.

    Shape: [B, T, n_mels] and [B] frames -> frames [B, T', width] and mask [B, T'] (True on
    frames of the clip). With ``pooling: time``, T' is 1: the clip's average.
    """

    def __init__(self, config: EncoderConfig, n_mels: int) -> None:
        super().__init__()
        self.config = config
        self.input_norm = nn.BatchNorm1d(n_mels)
        channels = [1] + [config.channels * min(2**i, 4) for i in range(config.depth)]
        self.blocks = nn.ModuleList(
            ConvBlock(c_in, c_out, config) for c_in, c_out in itertools.pairwise(channels)
        )
        self.out = nn.Linear(channels[-1] * (n_mels >> config.depth), config.width)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode; the result of a clip does not depend on how far its batch is padded."""
        inside = _mask(lengths, features.shape[1])
        x = self.input_norm(features.transpose(1, 2)).transpose(1, 2)
        x = (x * inside.unsqueeze(2)).unsqueeze(1)
        for block in self.blocks:
            # Padding is silenced in each block: convolution would otherwise let a clip's last
            # frames hear how much padding its neighbours in the batch need.
            x = block(x, inside)
            if self.config.pooling == "time":
                lengths = (lengths + 1) // 2
                inside = _mask(lengths, x.shape[2])
        x = F.relu(self.out(x.permute(0, 2, 1, 3).flatten(2)))
        if self.config.pooling == "time":
            total = (x * inside.unsqueeze(2)).sum(dim=1, keepdim=True)
            return total / lengths[:, None, None], inside[:, :1]
        return x * inside.unsqueeze(2), inside


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


def _mask(lengths: Tensor, size: int) -> Tensor:
    """[B] lengths -> [B, size], True inside each length."""
    return torch.arange(size, device=lengths.device).unsqueeze(0) < lengths.unsqueeze(1)
