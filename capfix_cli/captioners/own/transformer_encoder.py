"""Transformer encoder over log-mel frames, small enough to be trained on a captioning data set."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from capfix_cli.captioners.own.attention_layers import EncoderLayer, places
from capfix_cli.captioners.own.cnn_encoder import handed_over, inside_mask
from capfix_cli.captioners.own.config_sections import EncoderConfig

FEED_FORWARD = 4  # times the width, inside a layer (Vaswani et al.)
STEM = 2  # convolutions of stride 2 before the layers: 80 ms a place at frames of 20 ms


class TransformerEncoder(nn.Module):
    """Convolutions that take four frames to one, then layers of attention between all places.

    Attention costs the square of the places, and neighbouring frames of 20 ms are much alike.

    Shape: [B, T, n_mels] and [B] frames -> frames [B, ceil(ceil(T / 2) / 2), width] and their
    mask; with ``pooling: time`` one frame, the clip's average.
    """

    def __init__(self, config: EncoderConfig, n_mels: int) -> None:
        super().__init__()
        self.pooling = config.pooling
        self.input_norm = nn.BatchNorm1d(n_mels)
        self.stem = nn.ModuleList(
            nn.Conv1d(config.width if number else n_mels, config.width, 3, stride=2, padding=1)
            for number in range(STEM)
        )
        self.drop = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(
            EncoderLayer(config.width, config.heads, FEED_FORWARD * config.width, config.dropout)
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode; the result of a clip does not depend on how far its batch is padded."""
        x = self.input_norm(features.transpose(1, 2))
        for convolution in self.stem:
            # The padding holds what norms and biases put there; a clip alone has zeros there.
            x = x * inside_mask(lengths, x.shape[2]).unsqueeze(1)
            x = F.gelu(convolution(x))
            lengths = (lengths + 1) // 2
        x = x.transpose(1, 2)
        x = self.drop(x + places(0, x.shape[1], x))
        mask = inside_mask(lengths, x.shape[1])
        for layer in self.layers:
            x = layer(x, mask)
        return handed_over(self.norm(x), lengths, self.pooling)
