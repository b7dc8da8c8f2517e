"""Small networks of the usual kinds, as a student's own repository would define them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

MELS, WIDTH, HIDDEN, WORDS = 32, 24, 24, 14


class Encoder(nn.Module):
    """Log-mel frames to frames [B, T, W], or to their mean [B, W]."""

    def __init__(self, pooled: bool) -> None:
        super().__init__()
        self.frames, self.pooled = nn.Linear(MELS, WIDTH), pooled

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """[B, T, F] and [B] -> [B, W]; or [B, T, W + 1], the last 1 inside a clip."""
        inside = torch.arange(features.shape[1]) < lengths.unsqueeze(1)
        frames = torch.tanh(self.frames(features)) * inside.unsqueeze(2)
        if self.pooled:
            return frames.sum(1) / lengths.unsqueeze(1)
        return torch.cat([frames, inside.unsqueeze(2).float()], dim=2)


class Decoder(nn.Module):
    """Word embedding, recurrence and output layer."""

    def __init__(self, rnn: nn.Module) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, WIDTH)
        self.rnn, self.output = rnn, nn.Linear(HIDDEN, WORDS)


class Recurrent(nn.Module):
    """An encoder and a recurrent decoder, joined by what is named ``join``."""

    def __init__(self, pooled: bool, rnn: nn.Module, join: nn.Module | None = None) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(pooled), Decoder(rnn)
        self.join = join


class Attention(nn.Module):
    """Additive attention (Bahdanau et al., arXiv 1409.0473)."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(HIDDEN, 16), nn.Linear(WIDTH, 16)
        self.score = nn.Linear(16, 1)

    def forward(self, memory: Tensor, hidden: Tensor) -> Tensor:
        """[B, T, W + 1] and [B, H] -> context [B, W]."""
        frames, inside = memory[..., :-1], memory[..., -1]
        energy = self.score(torch.tanh(self.key(frames) + self.query(hidden).unsqueeze(1)))
        weights: Tensor = energy.squeeze(2).masked_fill(inside == 0, -torch.inf).softmax(dim=1)
        return (weights.unsqueeze(2) * frames).sum(1)


class Transformer(nn.Module):
    """PyTorch's Transformer decoder over encoder frames, time first."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.embedding = Encoder(pooled=False), nn.Embedding(WORDS, WIDTH)
        layer = nn.TransformerDecoderLayer(WIDTH, 2, 32, dropout=0.1)
        self.decoder, self.output = nn.TransformerDecoder(layer, 2), nn.Linear(WIDTH, WORDS)

    def encode(self, features: Tensor, lengths: Tensor) -> Tensor:
        """[B, F, T] -> [T, B, W + 1]."""
        memory: Tensor = self.encoder(features, lengths).transpose(0, 1)
        return memory

    def decode(self, memory: Tensor, words: Tensor) -> Tensor:
        """[T, B, W + 1] and words [L, B] -> [L, B, V]."""
        length = words.shape[0]
        causal = torch.triu(torch.ones(length, length, dtype=torch.bool), 1)
        outside = (memory[..., -1] == 0).T
        heard = self.decoder(
            self.embedding(words),
            memory[..., :-1],
            tgt_mask=causal,
            memory_key_padding_mask=outside,
        )
        scores: Tensor = self.output(heard)
        return scores


class AllAtOnce(nn.Module):
    """Gives twelve words at once, none of which sees another."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder(pooled=True)
        self.rnn, self.output = nn.GRU(WIDTH, HIDDEN, batch_first=True), nn.Linear(HIDDEN, WORDS)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """[B, T, F] -> [B, 12, V]."""
        vector = self.encoder(features, lengths)
        hidden, _ = self.rnn(vector.unsqueeze(1).expand(-1, 12, -1))
        scores: Tensor = self.output(hidden)
        return scores


class PrefixedGPT2(nn.Module):
    """A clip's vector becomes the first few embeddings of a GPT-2 (ClipCap, arXiv 2111.09734)."""

    def __init__(self, places: int = 4) -> None:
        super().__init__()
        from transformers import GPT2Config, GPT2LMHeadModel

        size = GPT2Config(vocab_size=WORDS, n_embd=WIDTH, n_layer=2, n_head=2, n_positions=64)
        self.encoder, self.mapping = Encoder(True), nn.Linear(WIDTH, places * WIDTH)
        self.gpt2 = GPT2LMHeadModel(size)

    def project(self, clip: Tensor) -> Tensor:
        """[B, W] -> [B, places, W]."""
        prefix: Tensor = self.mapping(clip)
        return prefix.view(len(clip), -1, WIDTH)
