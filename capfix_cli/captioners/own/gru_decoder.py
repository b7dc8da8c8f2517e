"""GRU decoder of capfix's own captioners, with three ways to hear the audio."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from capfix_cli.captioners.own.cnn_encoder import Summary
from capfix_cli.captioners.own.config_sections import CaptionerConfig

Heard = dict[str, Tensor]  # summary [B, W], frames [B, T, W], keys [B, T, A], mask [B, T]


class Attention(nn.Module):
    """Additive attention (Bahdanau et al., arXiv 1409.0473).

    Shape: state [B, H], keys [B, T, A], frames [B, T, W], mask [B, T] -> context [B, W].
    """

    def __init__(self, hidden: int, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(hidden, width)
        self.key = nn.Linear(width, width, bias=False)
        self.score = nn.Linear(width, 1, bias=False)

    def forward(self, state: Tensor, heard: Heard) -> Tensor:
        """Weigh the frames by the state and sum them."""
        energy = self.score(torch.tanh(heard["keys"] + self.query(state).unsqueeze(1))).squeeze(2)
        weights = energy.masked_fill(~heard["mask"], float("-inf")).softmax(dim=1)
        return torch.bmm(weights.unsqueeze(1), heard["frames"]).squeeze(1)


class Decoder(nn.Module):
    """GRU over words; the audio enters as ``conditioning`` says."""

    def __init__(self, config: CaptionerConfig, vocabulary: int) -> None:
        super().__init__()
        width = config.encoder.width
        # A time-pooled encoder hands over one frame; dividing it into stretches would be empty.
        segments = 1 if config.encoder.pooling == "time" else config.encoder.segments
        self.conditioning = config.conditioning
        self.summary = Summary(width, segments)
        self.embedding = nn.Embedding(vocabulary, config.embedding)
        self.initial = nn.Linear(width, config.hidden)
        heard = 0 if config.conditioning == "initial-state" else width
        self.gru = nn.GRU(config.embedding + heard, config.hidden, batch_first=True)
        self.attention = (
            Attention(config.hidden, width) if config.conditioning == "attention" else None
        )
        self.drop = nn.Dropout(config.dropout)
        self.out = nn.Linear(config.hidden, vocabulary)

    def listen(self, frames: Tensor, mask: Tensor) -> Heard:
        """Prepare what every step needs of the encoder's frames, once a clip."""
        heard = {"summary": self.summary(frames, mask)}
        if self.attention is not None:
            heard |= {"frames": frames, "keys": self.attention.key(frames), "mask": mask}
        return heard

    def prepare(self, heard: Heard) -> Heard:
        """Compute what the audio adds to the gates, where it is the same at every word."""
        bias = cast(Tensor, self.gru.bias_ih_l0)
        if self.conditioning != "every-step":
            return heard
        weight = cast(Tensor, self.gru.weight_ih_l0)[:, self.embedding.embedding_dim :]
        return {**heard, "gates": F.linear(heard["summary"], weight, bias)}

    def next_state(self, token: Tensor, state: Tensor, heard: Heard) -> Tensor:
        """[B] token and [B, H] state -> [B, H], in eval mode: the GRU's own equations, written out.

        A recurrent layer called for one word spends more on the call than on the word.
        """
        gru = self.gru
        weight, bias = cast(Tensor, gru.weight_ih_l0), cast(Tensor, gru.bias_ih_l0)
        word = self.embedding(token)
        if self.conditioning == "every-step" and "gates" not in heard:
            heard = self.prepare(heard)
        if "gates" in heard:
            given = torch.addmm(heard["gates"], word, weight[:, : word.shape[1]].T)
        else:
            if self.attention is not None:
                word = torch.cat([word, self.attention(state, heard)], dim=1)
            given = F.linear(word, weight, bias)
        held = F.linear(state, cast(Tensor, gru.weight_hh_l0), cast(Tensor, gru.bias_hh_l0))
        width = state.shape[1]
        gates = torch.sigmoid(given[:, : 2 * width] + held[:, : 2 * width])
        reset, update = gates[:, :width], gates[:, width:]
        new = torch.addcmul(given[:, 2 * width :], reset, held[:, 2 * width :]).tanh_()
        return torch.lerp(new, state, update)

    def first_state(self, heard: Heard) -> Tensor:
        """[B, H] state before the first word."""
        return torch.tanh(self.initial(heard["summary"]))

    def step(self, token: Tensor, state: Tensor, heard: Heard) -> tuple[Tensor, Tensor]:
        """[B] token and [B, H] state -> [B, V] logits and the next state."""
        if not self.training:
            state = self.next_state(token, state, heard)
            return self.out(state), state
        word = self.drop(self.embedding(token))
        if self.conditioning == "every-step":
            word = torch.cat([word, heard["summary"]], dim=1)
        elif self.attention is not None:
            word = torch.cat([word, self.attention(state, heard)], dim=1)
        output, state = self.gru(word.unsqueeze(1), state.unsqueeze(0))
        return self.out(self.drop(output.squeeze(1))), state.squeeze(0)

    def forward(self, tokens: Tensor, heard: Heard) -> Tensor:
        """Teacher forcing: [B, T] tokens -> [B, T, V] logits, position t predicting t + 1."""
        state = self.first_state(heard)
        if self.attention is not None:  # the context depends on the state: no shortcut
            steps = []
            for token in tokens.unbind(dim=1):
                logits, state = self.step(token, state, heard)
                steps.append(logits)
            return torch.stack(steps, dim=1)
        words = self.drop(self.embedding(tokens))
        if self.conditioning == "every-step":
            audio = heard["summary"].unsqueeze(1).expand(-1, words.shape[1], -1)
            words = torch.cat([words, audio], dim=2)
        output, _ = self.gru(words, state.unsqueeze(0))
        return cast(Tensor, self.out(self.drop(output)))
