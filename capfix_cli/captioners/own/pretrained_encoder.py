"""Encoders that hear already: PANNs' CNN14 and the AST, frozen or trained on."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from capfix_cli.captioners.own.cnn14 import Cnn14
from capfix_cli.captioners.own.cnn_encoder import handed_over
from capfix_cli.captioners.own.config_sections import CaptionerConfig
from capfix_cli.captioners.own.published_weights import Weights, wrong_file
from capfix_cli.captioners.own.spectrogram_transformer import SpectrogramTransformer


class PretrainedEncoder(nn.Module):
    """A pre-trained backbone and a layer that brings its frames to the memory's width.

    Frozen, the backbone takes no gradient and stays in eval mode whatever is trained around it:
    running statistics would drift otherwise.

    Shape: [B, T, n_mels] and [B] frames -> frames [B, T', width] and their mask.
    """

    def __init__(self, config: CaptionerConfig) -> None:
        super().__init__()
        encoder, n_mels = config.encoder, config.front_end.n_mels
        self.pooling, self.frozen, self.kind = encoder.pooling, encoder.frozen, encoder.pretrained
        self.backbone: Cnn14 | SpectrogramTransformer
        if encoder.pretrained == "panns":
            self.backbone = Cnn14(encoder.channels, n_mels, encoder.dropout)
        else:
            self.backbone = SpectrogramTransformer(encoder.ast, n_mels, encoder.dropout)
        self.drop = nn.Dropout(encoder.dropout)
        self.out = nn.Linear(self.backbone.width, encoder.width)
        if self.frozen:
            self.backbone.requires_grad_(False)

    def train(self, mode: bool = True) -> PretrainedEncoder:
        """Set training mode, of a frozen backbone never."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode; the result of a clip does not depend on how far its batch is padded."""
        # A frozen backbone keeps nothing for a backward pass, unless the audio's own is asked for.
        wanted = torch.is_grad_enabled() and (not self.frozen or features.requires_grad)
        with torch.set_grad_enabled(wanted):
            frames, lengths = self.backbone(features, lengths)
        return handed_over(F.relu(self.out(self.drop(frames))), lengths, self.pooling)

    def fill(self, weights: Weights, path: str) -> None:
        """Put published weights into the backbone, each of them and nothing besides.

        Raises:
            CapfixError: tensors are missing, unknown or of another shape.
        """
        own = self.backbone.state_dict()
        # A count that nothing reads; files of early PyTorch lack it.
        counts = {n: t for n, t in own.items() if n.endswith("num_batches_tracked")}
        weights = {**counts, **weights}
        wrong = [f"{name} is missing" for name in own if name not in weights]
        wrong += [f"{name} is not part of it" for name in weights if name not in own]
        wrong += [
            f"{name} is {list(weights[name].shape)}, not {list(tensor.shape)}"
            for name, tensor in own.items()
            if name in weights and weights[name].shape != tensor.shape
        ]
        if wrong:
            more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
            raise wrong_file(path, self.kind, "; ".join(wrong[:3]) + more)
        self.backbone.load_state_dict(weights)
