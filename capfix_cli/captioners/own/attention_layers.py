"""Attention with several heads, its layers, and places in time: the parts of Transformers."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KeysValues = tuple[Tensor, Tensor]  # [B, heads, T, width / heads] each


class Attention(nn.Module):
    """Scaled dot products over several heads (Vaswani et al., arXiv 1706.03762).

    Args:
        width: of queries and of the result.
        heads: how many; ``width`` is a multiple of it.
        memory: width of what is attended to; that of the queries where not given.
    """

    def __init__(self, width: int, heads: int, memory: int | None = None) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(memory or width, 2 * width)
        self.out = nn.Linear(width, width)

    def keys_values(self, memory: Tensor) -> KeysValues:
        """[B, T, memory] -> what queries are compared with and what they fetch."""
        keys, values = self.key_value(memory).chunk(2, dim=2)
        return self._parted(keys), self._parted(values)

    def forward(
        self,
        x: Tensor,
        keys: Tensor,
        values: Tensor,
        mask: Tensor | None = None,
        *,
        causal: bool = False,
    ) -> Tensor:
        """Attend.

        Args:
            x: [R, Q, width]; R may be a multiple of the keys' B: row r is of clip r // (R / B).
            keys: of :meth:`keys_values`.
            values: of the same.
            mask: [B, T], True where there is something to attend to.
            causal: let a place attend to itself and to what stands before it.

        Returns:
            [R, Q, width].
        """
        rows, places, width = x.shape
        clips = keys.shape[0]
        query = self._parted(self.query(x))
        if rows != clips:
            # Rows of one clip hear the same: they are so many more places of one row.
            query = query.view(clips, rows // clips, self.heads, places, -1).transpose(1, 2)
            query = query.reshape(clips, self.heads, rows // clips * places, -1)
        seen = None if mask is None else mask[:, None, None, :]
        found = F.scaled_dot_product_attention(query, keys, values, seen, is_causal=causal)
        if rows != clips:
            found = found.view(clips, self.heads, rows // clips, places, -1).transpose(1, 2)
            found = found.reshape(rows, self.heads, places, -1)
        joined: Tensor = self.out(found.transpose(1, 2).reshape(rows, places, width))
        return joined

    def _parted(self, x: Tensor) -> Tensor:
        """[B, T, width] -> [B, heads, T, width / heads]."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


class FeedForward(nn.Module):
    """Two linear layers with a GELU between them, place by place."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, inner)
        self.out = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, width] -> the same shape."""
        result: Tensor = self.out(F.gelu(self.inner(x)))
        return result


class EncoderLayer(nn.Module):
    """Attention over the own sequence, then a feed-forward part; each adds to its input.

    Norms stand before the parts and not after the sums: deep stacks then train without a warm-up
    (Xiong et al., arXiv 2002.04745).
    """

    def __init__(
        self, width: int, heads: int, inner: int, dropout: float, epsilon: float = 1e-5
    ) -> None:
        super().__init__()
        self.self_norm = nn.LayerNorm(width, eps=epsilon)
        self.self_attention = Attention(width, heads)
        self.feed_norm = nn.LayerNorm(width, eps=epsilon)
        self.feed_forward = FeedForward(width, inner)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """[B, T, width], mask [B, T] True on the clip's own places -> [B, T, width]."""
        normed = self.self_norm(x)
        keys, values = self.self_attention.keys_values(normed)
        x = x + self.drop(self.self_attention(normed, keys, values, mask))
        result: Tensor = x + self.drop(self.feed_forward(self.feed_norm(x)))
        return result


class DecoderLayer(nn.Module):
    """Attention over the words so far, then over the audio, then a feed-forward part."""

    def __init__(self, width: int, heads: int, inner: int, memory: int, dropout: float) -> None:
        super().__init__()
        self.self_norm = nn.LayerNorm(width)
        self.self_attention = Attention(width, heads)
        self.cross_norm = nn.LayerNorm(width)
        self.cross_attention = Attention(width, heads, memory)
        self.feed_norm = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, inner)
        self.drop = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, audio: KeysValues, mask: Tensor, past: KeysValues | None = None
    ) -> tuple[Tensor, KeysValues]:
        """Take places after those of ``past``.

        Args:
            x: [R, Q, width]; one place where there is a past, else all of them.
            audio: keys and values of the clips' frames.
            mask: [B, T], True on the clips' own frames.
            past: keys and values of the words before.

        Returns:
            [R, Q, width], and keys and values of all words so far.
        """
        normed = self.self_norm(x)
        words = self.self_attention.keys_values(normed)
        if past is not None:
            words = (torch.cat([past[0], words[0]], 2), torch.cat([past[1], words[1]], 2))
        x = x + self.drop(self.self_attention(normed, *words, causal=past is None))
        x = x + self.drop(self.cross_attention(self.cross_norm(x), *audio, mask))
        return x + self.drop(self.feed_forward(self.feed_norm(x))), words


def places(first: int, count: int, like: Tensor) -> Tensor:
    """Give sines and cosines of places in a sequence (Vaswani et al., section 3.5).

    A formula rather than a table: no caption or clip is too long for it.

    Args:
        first: the first place.
        count: how many.
        like: [..., width] what they are added to.

    Returns:
        [count, width], width being even.
    """
    width = like.shape[-1]
    place = torch.arange(first, first + count, device=like.device).unsqueeze(1)
    pace = torch.exp(torch.arange(0, width, 2, device=like.device) * (-math.log(10_000.0) / width))
    angle = place * pace
    return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1).to(like.dtype)
