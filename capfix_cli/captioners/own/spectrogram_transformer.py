"""The Audio Spectrogram Transformer (Gong et al., arXiv 2104.01778), up to its frames."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from capfix_cli.captioners.own.attention_layers import EncoderLayer
from capfix_cli.captioners.own.cnn_encoder import inside_mask
from capfix_cli.captioners.own.config_sections import AstConfig
from capfix_cli.captioners.own.mel_frames import AST_SILENCE

PATCH = 16  # mel bands and frames of a patch
TOKENS = 2  # before the patches: the class token and the distillation token


class SpectrogramTransformer(nn.Module):
    """Scaled filter banks to frames of 0.1 s: the mean of the patches that stand one above another.

    It was trained on stretches of one length. Longer clips are heard stretch by stretch; behind
    shorter ones stands the silence of its training.

    Shape: [B, T, n_mels] and [B] frames -> [B, T', hidden] and [B] frames.
    """

    def __init__(self, config: AstConfig, n_mels: int, dropout: float) -> None:
        super().__init__()
        self.width, self.stretch = config.hidden, config.max_length
        self.strides = (config.frequency_stride, config.time_stride)
        self.high = (n_mels - PATCH) // config.frequency_stride + 1
        self.long = (config.max_length - PATCH) // config.time_stride + 1
        self.patches = nn.Conv2d(1, config.hidden, PATCH, stride=self.strides)
        self.class_token = nn.Parameter(torch.zeros(1, 1, config.hidden))
        self.distillation_token = nn.Parameter(torch.zeros(1, 1, config.hidden))
        self.places = nn.Parameter(torch.zeros(1, self.high * self.long + TOKENS, config.hidden))
        self.layers = nn.ModuleList(
            EncoderLayer(config.hidden, config.heads, config.feed_forward, dropout, config.epsilon)
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.hidden, eps=config.epsilon)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode; the result of a clip does not depend on how far its batch is padded."""
        clips, bands = features.shape[0], features.shape[2]
        count = -(-features.shape[1] // self.stretch)
        x = F.pad(features, (0, 0, 0, count * self.stretch - features.shape[1]))
        x = x.masked_fill(~inside_mask(lengths, x.shape[1]).unsqueeze(2), AST_SILENCE)
        x = x.view(clips * count, self.stretch, bands)
        begun = inside_mask(lengths, count * self.stretch)[:, :: self.stretch].flatten()
        heard = x.new_zeros(clips * count, self.long, self.width)
        heard[begun] = self.frames(self.sequence(x[begun]))
        whole, rest = lengths // self.stretch, lengths % self.stretch
        last = (-(-rest // self.strides[1])).clamp_max(self.long)
        return heard.view(clips, count * self.long, self.width), whole * self.long + last

    def sequence(self, x: Tensor) -> Tensor:
        """[N, stretch, n_mels] -> [N, 2 + patches, hidden]: both tokens, then the patches."""
        patches = self.patches(x.transpose(1, 2).unsqueeze(1)).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token, self.distillation_token], dim=1)
        x = torch.cat([tokens.expand(x.shape[0], -1, -1), patches], dim=1) + self.places
        for layer in self.layers:
            x = layer(x)
        result: Tensor = self.norm(x)
        return result

    def frames(self, sequence: Tensor) -> Tensor:
        """[N, 2 + patches, hidden] -> [N, long, hidden]; patches lie mel band by mel band."""
        patches = sequence[:, TOKENS:]
        return patches.reshape(len(patches), self.high, self.long, -1).mean(dim=1)
