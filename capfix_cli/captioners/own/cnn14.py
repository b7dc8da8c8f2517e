"""CNN14 of PANNs (Kong et al., arXiv 1912.10211), up to its frames, under the published names."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from capfix_cli.captioners.own.cnn_encoder import inside_mask
from capfix_cli.captioners.own.mel_frames import PANNS_SILENCE

BLOCKS = 6
SHRINK = 2 ** (BLOCKS - 1)  # frames of 10 ms that become one: the last block keeps time


class TwoConvolutions(nn.Module):
    """Two 3x3 convolutions with BatchNorm and ReLU each, then an average pooling.

    Shape: [B, C_in, T, M] -> [B, C_out, T // pool, M // pool].
    """

    def __init__(self, c_in: int, c_out: int, pool: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(c_out), nn.BatchNorm2d(c_out)
        self.pool = pool

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Apply the block to [B] frames of each clip; gives the frames that are left of them."""
        inside = inside_mask(lengths, x.shape[2])[:, None, :, None]
        # What norms and half-filled places of pooling put into the padding must not reach a clip's
        # last frames: alone, there is nothing behind them.
        x = F.relu(self.bn1(self.conv1(x * inside))) * inside
        x = F.relu(self.bn2(self.conv2(x))) * inside
        return F.avg_pool2d(x, self.pool) if self.pool > 1 else x, lengths // self.pool


class Cnn14(nn.Module):
    """Decibels of mel bands to frames of 0.32 s.

    The tagger's own last layers (``fc1``, ``fc_audioset``) stand for a whole clip and are left
    out: captions need its frames.

    Args:
        channels: of the first block, 64 in the published model; each next one doubles them.
        n_mels: mel bands.
        dropout: after each block.

    Shape: [B, T, n_mels] and [B] frames -> [B, T // 32, 32 * channels] and [B] frames; clips of
    fewer than 32 frames are heard with silence behind them.
    """

    def __init__(self, channels: int, n_mels: int, dropout: float) -> None:
        super().__init__()
        self.width = channels * 2 ** (BLOCKS - 1)
        self.bn0 = nn.BatchNorm2d(n_mels)
        for number in range(1, BLOCKS + 1):
            c_out = channels * 2 ** (number - 1)
            block = TwoConvolutions(
                1 if number == 1 else c_out // 2, c_out, 1 if number == BLOCKS else 2
            )
            setattr(self, f"conv_block{number}", block)
        self.drop = nn.Dropout(dropout)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode; the result of a clip does not depend on how far its batch is padded."""
        missing = max(0, SHRINK - features.shape[1])
        x = F.pad(features, (0, 0, 0, missing))
        x = x.masked_fill(~inside_mask(lengths, x.shape[1]).unsqueeze(2), PANNS_SILENCE)
        lengths = lengths.clamp_min(SHRINK)
        x = self.bn0(x.transpose(1, 2).unsqueeze(3)).permute(0, 3, 2, 1)
        for number in range(1, BLOCKS + 1):
            x, lengths = getattr(self, f"conv_block{number}")(x, lengths)
            x = self.drop(x)
        return x.mean(dim=3).transpose(1, 2), lengths
