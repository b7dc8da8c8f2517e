"""capfix's own captioner: the network behind the Captioner contract."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from capfix_cli.captioners.base import Captioner, State
from capfix_cli.captioners.own.cnn_encoder import Encoder
from capfix_cli.captioners.own.config_sections import CaptionerConfig
from capfix_cli.captioners.own.gru_decoder import Decoder, Heard
from capfix_cli.captioners.own.mel_frames import make_front_end
from capfix_cli.captioners.own.own_config import check
from capfix_cli.captioners.own.pretrained_encoder import PretrainedEncoder
from capfix_cli.captioners.own.published_weights import read_published
from capfix_cli.captioners.own.transformer_decoder import TransformerDecoder
from capfix_cli.captioners.own.transformer_encoder import TransformerEncoder

SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")  # ids 0 to 3 of every own vocabulary
PAD, BOS, EOS, UNK = range(len(SPECIAL))


class Network(nn.Module):
    """Front end, encoder and decoder: what a checkpoint's ``state_dict`` holds."""

    def __init__(self, config: CaptionerConfig, vocabulary: int) -> None:
        super().__init__()
        self.front_end = make_front_end(config.front_end)
        self.encoder: Encoder | TransformerEncoder | PretrainedEncoder
        if config.encoder.pretrained != "none":
            self.encoder = PretrainedEncoder(config)
        elif config.encoder.kind == "transformer":
            self.encoder = TransformerEncoder(config.encoder, config.front_end.n_mels)
        else:
            self.encoder = Encoder(config.encoder, config.front_end.n_mels)
        kind = TransformerDecoder if config.decoder == "transformer" else Decoder
        self.decoder: Decoder | TransformerDecoder = kind(config, vocabulary)

    def forward(self, features: Tensor, lengths: Tensor, tokens: Tensor) -> Tensor:
        """[B, T, n_mels] features and [B, L] tokens -> [B, L, V] teacher-forced logits."""
        heard = self.decoder.listen(*self.encoder(features, lengths))
        logits: Tensor = self.decoder(tokens, heard)
        return logits


class OwnCaptioner(Captioner):
    """One of capfix's own captioners (see :class:`CaptionerConfig`).

    Args:
        config: what to build. A pre-trained encoder is read from ``encoder.weights``, and the
            captioner's own ``config`` then names no file any more.
        vocabulary: special tokens first.
        weights_follow: True where all weights are about to be loaded: nothing is read.

    Raises:
        CapfixError: a config that cannot be built, or pre-trained weights that cannot be used.
    """

    module: Network  # never None here

    def __init__(
        self, config: CaptionerConfig, vocabulary: Sequence[str], *, weights_follow: bool = False
    ) -> None:
        check(config)
        path, weights = config.encoder.weights, None
        if config.encoder.pretrained != "none" and not weights_follow:
            config, weights = read_published(config)
        self.config = config
        self.vocabulary = list(vocabulary)
        self.pad_id, self.bos_id, self.eos_id, self.unk_id = PAD, BOS, EOS, UNK
        self.sample_rate = config.front_end.sample_rate
        self.max_length = config.max_length
        self.min_samples = config.front_end.min_samples
        # A Transformer attends to one copy of a clip's frames for all of its beams and samples.
        self.shares_memory = config.decoder == "transformer"
        self.module = Network(config, len(self.vocabulary))
        if weights is not None and isinstance(self.module.encoder, PretrainedEncoder):
            self.module.encoder.fill(weights, str(path))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.module.decoder.out.weight.device

    def features(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """[B, samples] -> log-mel [B, frames, n_mels] and [B] frames."""
        frames, count = self.module.front_end(waveforms.to(self.device), lengths.to(self.device))
        return frames, count

    def encode_features(self, features: Tensor, lengths: Tensor) -> Heard:
        """Log-mel frames -> what the decoder hears."""
        frames, mask = self.module.encoder(features, lengths)
        return self.module.decoder.listen(frames, mask)

    def logits(self, prefix: Tensor, memory: Heard) -> Tensor:
        """[B, T] prefix -> [B, V] scores of the next word."""
        logits: Tensor = self.module.decoder(prefix.to(self.device), memory)
        return logits[:, -1]

    def sequence_logits(self, tokens: Tensor, memory: Heard) -> Tensor:
        """[B, T] -> [B, T, V]."""
        logits: Tensor = self.module.decoder(tokens.to(self.device), memory)
        return logits

    def prepare(self, memory: Heard) -> Heard:
        """Add what the audio gives to every step: to a GRU's gates, to a Transformer's layers."""
        return self.module.decoder.prepare(memory)

    def start(self, memory: Heard) -> State:
        """Give the state before the first word: [B, H] of a GRU, no words yet of a Transformer."""
        return self.module.decoder.first_state(memory)

    def step(self, token: Tensor, state: State, memory: Heard) -> tuple[Tensor, State]:
        """Take one word a row; of a Transformer a clip may have several rows."""
        return self.module.decoder.step(token.to(self.device), state, memory)

    def loss(self, waveforms: Tensor, lengths: Tensor, captions: Sequence[str]) -> Tensor:
        """Mean cross-entropy in nats a token, teacher-forced."""
        return self.feature_loss(*self.features(waveforms, lengths), captions)

    def feature_loss(
        self,
        features: Tensor,
        lengths: Tensor,
        captions: Sequence[str],
        label_smoothing: float = 0.0,
    ) -> Tensor:
        """The same from features computed before; the end token is a target, padding is not."""
        rows = [torch.tensor([self.bos_id, *self.tokenize(c), self.eos_id]) for c in captions]
        tokens = pad_sequence(rows, batch_first=True, padding_value=PAD).to(self.device)
        logits = self.module(features, lengths, tokens[:, :-1])
        return F.cross_entropy(
            logits.flatten(0, 1),
            tokens[:, 1:].flatten(),
            ignore_index=PAD,
            label_smoothing=label_smoothing,
        )
