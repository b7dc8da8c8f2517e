"""Transformer decoder of capfix's own captioners, whole captions at once or word by word."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from capfix_cli.captioners.own.attention_layers import DecoderLayer, KeysValues, places
from capfix_cli.captioners.own.config_sections import CaptionerConfig
from capfix_cli.captioners.own.gru_decoder import Heard

FEED_FORWARD = 4  # times the width, inside a layer (Vaswani et al.)


class TransformerDecoder(nn.Module):
    """Layers that attend to the words so far and to the encoder's frames.

    What it hears is ``frames`` [B, T, W] and ``mask`` [B, T]; prepared, the keys and values of
    every layer stand in the frames' place. Its state is a (keys, values) pair a layer, rows first.
    """

    def __init__(self, config: CaptionerConfig, vocabulary: int) -> None:
        super().__init__()
        width = config.hidden
        self.embedding = nn.Embedding(vocabulary, config.embedding)
        self.widen = nn.Linear(config.embedding, width)
        self.layers = nn.ModuleList(
            DecoderLayer(
                width,
                config.decoder_heads,
                FEED_FORWARD * width,
                config.encoder.width,
                config.dropout,
            )
            for _ in range(config.decoder_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.drop = nn.Dropout(config.dropout)
        self.out = nn.Linear(width, vocabulary)

    def listen(self, frames: Tensor, mask: Tensor) -> Heard:
        """Keep what every step needs of the encoder's frames."""
        return {"frames": frames, "mask": mask}

    def prepare(self, heard: Heard) -> Heard:
        """Compute every layer's keys and values of the frames, once a clip."""
        if "keys0" in heard:
            return heard
        found = {"mask": heard["mask"]}
        for number, layer in enumerate(self._layers):
            keys, values = layer.cross_attention.keys_values(heard["frames"])
            found |= {f"keys{number}": keys, f"values{number}": values}
        return found

    def first_state(self, heard: Heard) -> tuple[KeysValues, ...]:
        """Give the state before the first word: no keys and no values."""
        attention = self._layers[0].self_attention
        shape = (heard["mask"].shape[0], attention.heads, 0, self._width // attention.heads)
        empty = self.out.weight.new_zeros(shape)
        return tuple((empty, empty) for _ in self._layers)

    def step(
        self, token: Tensor, state: tuple[KeysValues, ...], heard: Heard
    ) -> tuple[Tensor, tuple[KeysValues, ...]]:
        """[R] token -> [R, V] logits and the next state."""
        place = state[0][0].shape[2]
        logits, state = self._run(token.unsqueeze(1), place, state, heard)
        return logits.squeeze(1), state

    def forward(self, tokens: Tensor, heard: Heard) -> Tensor:
        """Teacher forcing: [R, T] tokens -> [R, T, V] logits, position t predicting t + 1."""
        return self._run(tokens, 0, None, heard)[0]

    def _run(
        self, tokens: Tensor, first: int, state: tuple[KeysValues, ...] | None, heard: Heard
    ) -> tuple[Tensor, tuple[KeysValues, ...]]:
        """Take [R, Q] tokens that stand at places from ``first`` on."""
        heard = self.prepare(heard)
        x = self.widen(self.embedding(tokens))
        x = self.drop(x + places(first, tokens.shape[1], x))
        words_so_far = []
        for number, layer in enumerate(self._layers):
            audio = (heard[f"keys{number}"], heard[f"values{number}"])
            past = None if state is None else state[number]
            x, words = layer(x, audio, heard["mask"], past)
            words_so_far.append(words)
        return self.out(self.drop(self.norm(x))), tuple(words_so_far)

    @property
    def _layers(self) -> list[DecoderLayer]:
        return cast(list[DecoderLayer], list(self.layers))

    @property
    def _width(self) -> int:
        return self.out.in_features
