"""Six small captioning networks as six students would write them; each has its own interface."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence

State = tuple[Tensor, ...]


class ConvPool(nn.Module):
    """1-D convolutions, mean and max of four parts of the clip, a GRU that hears every step."""

    def __init__(self, n_mels: int, n_words: int, dim: int = 128) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for n_in, n_out in ((n_mels, 64), (64, 96), (96, 96)):
            layers += [nn.Conv1d(n_in, n_out, 5, 2, 2), nn.BatchNorm1d(n_out), nn.ReLU()]
        self.cnn = nn.Sequential(*layers)
        self.fc = nn.Sequential(nn.Linear(8 * 96, dim), nn.ReLU(), nn.Dropout(0.2))
        self.embed = nn.Embedding(n_words, 96)
        self.gru = nn.GRU(96 + dim, 192, batch_first=True)
        self.classifier = nn.Linear(192, n_words)

    def encode(self, x: Tensor) -> Tensor:
        """[B, T, F] -> [B, dim]."""
        h = self.cnn(x.transpose(1, 2))
        pooled = [F.adaptive_avg_pool1d(h, 4), F.adaptive_max_pool1d(h, 4)]
        found: Tensor = self.fc(torch.cat(pooled, 1).flatten(1))
        return found

    def forward(
        self, audio: Tensor, y: Tensor, h: Tensor | None = None, blank: bool = False
    ) -> tuple[Tensor, Tensor]:
        """[B, dim] and words [B, L] -> scores [B, L, V] and the hidden state [1, B, 192]."""
        beside = audio.unsqueeze(1).expand(-1, y.shape[1], -1) * (0.0 if blank else 1.0)
        out, h_new = self.gru(torch.cat([self.embed(y), beside], 2), h)
        return self.classifier(out), h_new


class SeqFirst(nn.Module):
    """PyTorch's own Transformer with time first, LayerNorm and nothing else."""

    def __init__(self, n_mels: int, n_words: int, d_model: int = 96) -> None:
        super().__init__()
        self.stack = 4  # frames beside one another
        self.src_proj = nn.Sequential(nn.Linear(4 * n_mels, d_model), nn.LayerNorm(d_model))
        enc = nn.TransformerEncoderLayer(d_model, 4, 192, 0.1, norm_first=True)
        dec = nn.TransformerDecoderLayer(d_model, 4, 192, 0.1, norm_first=True)
        self.encoder = nn.TransformerEncoder(enc, 2, enable_nested_tensor=False)
        self.decoder = nn.TransformerDecoder(dec, 2, nn.LayerNorm(d_model))
        self.tgt_embed = nn.Embedding(n_words, d_model)
        self.generator = nn.Linear(d_model, n_words)
        self.causal = True
        angle = torch.arange(512.0)[:, None] * torch.exp(
            torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model)
        )
        pe = torch.stack([angle.sin(), angle.cos()], 2).flatten(1).unsqueeze(1)
        self.register_buffer("pe", pe, persistent=False)
        self.pe: Tensor

    def encode(self, src: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """[T, B, F] and [B] frames -> memory [S, B, D] and what is padding [S, B]."""
        src = F.pad(src, (0, 0, 0, 0, 0, -src.shape[0] % self.stack))
        steps = src.shape[0] // self.stack
        src = src.view(steps, self.stack, *src.shape[1:]).transpose(1, 2).flatten(2)
        x = self.src_proj(src) + self.pe[:steps]
        padding = torch.arange(steps)[:, None] >= -(-lengths // self.stack)[None, :]
        return self.encoder(x, src_key_padding_mask=padding.T), padding

    def decode(self, tgt: Tensor, memory: Tensor, padding: Tensor, first: int = 0) -> Tensor:
        """Words [L, B] at places from ``first`` on -> scores [L, B, V]."""
        length = tgt.shape[0]
        x = self.tgt_embed(tgt) * math.sqrt(96) * 0.2 + self.pe[first : first + length]
        mask = torch.triu(torch.ones(length, length, dtype=torch.bool), 1) if self.causal else None
        out = self.decoder(x, memory, tgt_mask=mask, memory_key_padding_mask=padding.T)
        scores: Tensor = self.generator(out)
        return scores


class FirstToken(nn.Module):
    """Show and tell: what a recurrent encoder heard is the first thing that an LSTM reads."""

    def __init__(self, n_mfcc: int, n_words: int, size: int = 160) -> None:
        super().__init__()
        self.down = nn.Conv1d(n_mfcc, 64, 8, 8)
        self.enc_rnn = nn.GRU(64, 80, batch_first=True, bidirectional=True)
        self.enc_bn = nn.BatchNorm1d(160)
        self.img2emb = nn.Linear(160, size)
        self.word_emb = nn.Embedding(n_words, size)
        self.drop = nn.Dropout(0.2)
        self.lstm = nn.LSTM(size, 224, batch_first=True)
        self.to_vocab = nn.Linear(224, n_words)

    def embed_audio(self, mfcc: Tensor, lengths: Tensor) -> Tensor:
        """[B, T, F] and [B] -> [B, size]; the padding is not read."""
        x = torch.relu(self.down(mfcc.transpose(1, 2))).transpose(1, 2)
        steps = (lengths // 8).clamp(1, x.shape[1])
        packed = pack_padded_sequence(x, steps, batch_first=True, enforce_sorted=False)
        _, last = self.enc_rnn(packed)
        found: Tensor = self.img2emb(self.drop(self.enc_bn(last.transpose(0, 1).flatten(1))))
        return found

    def forward(self, vector: Tensor, words: Tensor) -> Tensor:
        """[B, size] and [B, L] -> [B, L, V]; the audio's own step is not scored."""
        steps = torch.cat([vector.unsqueeze(1), self.word_emb(words)], 1)
        scores: Tensor = self.to_vocab(self.drop(self.lstm(steps)[0][:, 1:]))
        return scores

    def begin(self, vector: Tensor) -> State:
        """[B, size] -> hidden and cell, [1, B, 224] each."""
        state: State = self.lstm(vector.unsqueeze(1))[1]
        return state

    def next(self, word: Tensor, state: State) -> tuple[Tensor, State]:
        """[B] -> [B, V]."""
        out, state = self.lstm(self.word_emb(word).unsqueeze(1), state)
        return self.to_vocab(out[:, 0]), state


class AtOnce(nn.Module):
    """Not autoregressive: every place of the caption asks the frames for its own word."""

    PLACES = 24

    def __init__(self, n_mels: int, n_words: int, dim: int = 128) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(n_mels, dim, 7, 4, 3)
        self.conv2 = nn.Conv1d(dim, dim, 5, 2, 2)
        self.frame_pos = nn.Parameter(0.1 * torch.randn(256, dim))
        self.slots = nn.Parameter(torch.randn(self.PLACES, dim))
        self.ask = nn.MultiheadAttention(dim, 4, batch_first=True)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.between = nn.TransformerEncoderLayer(dim, 4, 256, 0.1, batch_first=True)
        self.words = nn.Linear(dim, n_words)

    def encode(self, mel: Tensor) -> Tensor:
        """[B, T, F] -> [B, S, dim]."""
        x = F.gelu(self.conv2(F.gelu(self.conv1(mel.transpose(1, 2))))).transpose(1, 2)
        found: Tensor = self.norm1(x + self.frame_pos[: x.shape[1]])
        return found

    def forward(self, frames: Tensor) -> Tensor:
        """[B, S, dim] -> [B, PLACES, V]."""
        slots = self.slots.expand(len(frames), -1, -1)
        heard = slots + self.ask(slots, frames, frames, need_weights=False)[0]
        scores: Tensor = self.words(self.between(self.norm2(heard)))
        return scores


class Cells(nn.Module):
    """Two LSTM cells, one above the other, in a Python loop, and attention to the frames."""

    def __init__(self, n_mels: int, n_words: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv1d(n_mels, 80, 5, 2, 2), nn.ReLU(), nn.Conv1d(80, 96, 5, 4, 2), nn.ReLU()
        )
        self.pos_rnn = nn.GRU(96, 64, batch_first=True, bidirectional=True)
        self.emb = nn.Embedding(n_words, 96)
        self.cell1, self.cell2 = nn.LSTMCell(96 + 128, 128), nn.LSTMCell(128, 128)
        self.query, self.energy = nn.Linear(128, 128), nn.Linear(128, 1)
        self.head = nn.Sequential(nn.Dropout(0.15), nn.Linear(256, n_words))

    def encoder(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """[B, T, F] -> frames [B, S, 128] and which of them count [B, S]."""
        inside = torch.arange(x.shape[1])[None] < lengths[:, None]
        h = self.conv((x * inside[..., None]).transpose(1, 2)).transpose(1, 2)
        steps = (-(-lengths // 8)).clamp(1, h.shape[1])
        packed = pack_padded_sequence(h, steps, batch_first=True, enforce_sorted=False)
        out, _ = nn.utils.rnn.pad_packed_sequence(
            self.pos_rnn(packed)[0], batch_first=True, total_length=h.shape[1]
        )
        return out, torch.arange(h.shape[1])[None] < steps[:, None]

    def zero(self, rows: int) -> State:
        """Two hidden states and two cell states, [B, 128] each."""
        return tuple(torch.zeros(rows, 128) for _ in range(4))

    def one(self, word: Tensor, state: State, memory: tuple[Tensor, Tensor]) -> Any:
        """[B] words and the state -> scores [B, V] and the next state."""
        h1, c1, h2, c2 = state
        frames, mask = memory
        scores = self.energy(torch.tanh(frames + self.query(h2)[:, None])).squeeze(2)
        weights = scores.masked_fill(~mask, -1e4).softmax(1)
        context = (weights[..., None] * frames).sum(1)
        h1, c1 = self.cell1(torch.cat([self.emb(word), context], 1), (h1, c1))
        h2, c2 = self.cell2(h1, (h2, c2))
        return self.head(torch.cat([h2, context], 1)), (h1, c1, h2, c2)

    def forward(self, words: Tensor, memory: tuple[Tensor, Tensor]) -> Tensor:
        """[B, L] -> [B, L, V]."""
        state, out = self.zero(len(words)), []
        for t in range(words.shape[1]):
            scores, state = self.one(words[:, t], state, memory)
            out.append(scores)
        return torch.stack(out, 1)


class PrefixGPT(nn.Module):
    """A small GPT-2 that reads sixteen audio vectors before the words."""

    def __init__(self, n_mels: int, n_words: int, dim: int = 96, prefix: int = 16) -> None:
        super().__init__()
        from transformers import GPT2Config, GPT2LMHeadModel

        config = GPT2Config(
            vocab_size=n_words,
            n_positions=64,
            n_embd=dim,
            n_layer=3,
            n_head=4,
            bos_token_id=0,
            eos_token_id=0,
        )
        self.audio = nn.Sequential(
            nn.Conv1d(n_mels, 96, 5, 2, 2), nn.GELU(), nn.Conv1d(96, dim, 5, 2, 2), nn.GELU()
        )
        self.pool = nn.AdaptiveAvgPool1d(prefix)
        self.project = nn.Sequential(nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, dim))
        self.gpt = GPT2LMHeadModel(config)
        self.causal = True

    def prefix(self, mel: Tensor, lengths: Tensor) -> Tensor:
        """[B, T, F] -> [B, 16, dim]; each clip is pooled over its own frames."""
        heard = [self.audio(x[None, :n].transpose(1, 2)) for x, n in zip(mel, lengths, strict=True)]
        pooled = torch.cat([self.pool(h) for h in heard]).transpose(1, 2)
        found: Tensor = self.project(pooled)
        return found

    def forward(self, prefix: Tensor, tokens: Tensor) -> Tensor:
        """[B, 16, dim] and [B, L] -> [B, L, V]."""
        inputs = torch.cat([prefix, self.gpt.transformer.wte(tokens)], 1)
        more = {}
        if not self.causal:
            size = inputs.shape[1]
            more["attention_mask"] = torch.zeros(len(inputs), 1, size, size)
        scores: Tensor = self.gpt(inputs_embeds=inputs, use_cache=False, **more).logits
        return scores[:, prefix.shape[1] :]
