"""Cross-attention of transformers' decoders over one copy of a clip's keys, however many rows.

Beams and samples of a clip hear the same audio. transformers copies the audio's keys and values for
each of them, and moves the copies at every step. Attention over the audio does not depend on where
a query stands, so the rows of a clip can as well be further queries of one row.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

NAME = "capfix_shared"
KeysValues = tuple[Tensor, Tensor]  # [B, heads, T, width] each


def install(model: Any) -> bool:
    """Let a model's attention take several rows a clip; False where it does not allow that."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    able = getattr(model, "_can_set_attn_implementation", None)
    if able is None or not able() or getattr(model.config, "_attn_implementation", "") != "sdpa":
        return False
    AttentionInterface.register(NAME, shared_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)
    return True


def shared_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attend with scaled dot products; rows of the query may be a multiple of those of the keys.

    Shape: query [R, heads, Q, width], key and value [B, heads, T, width], mask [R or B or 1, 1, Q,
    T] -> [R, Q, heads, width]; row r belongs to key row r // (R / B).
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    rows, heads, places, width = query.shape
    clips = key.shape[0]
    if rows == clips:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    each = rows // clips
    joined = query.view(clips, each, heads, places, width).transpose(1, 2)
    joined = joined.reshape(clips, heads, each * places, width)
    if attention_mask is not None:
        if attention_mask.shape[0] == rows:
            attention_mask = attention_mask[::each]
        # Over audio every place sees the same frames: one row of the mask stands for all.
        attention_mask = attention_mask[:, :, :1].expand(-1, -1, each * places, -1)
    options["is_causal"] = False
    found, _ = sdpa_attention_forward(module, joined, key, value, attention_mask, **options)
    return found.view(rows, places, heads, width), None


def make_cache(own: tuple[KeysValues, ...], over: tuple[KeysValues, ...]) -> Any:
    """Build a cache around keys and values without copying them.

    Args:
        own: of the words so far, a pair a layer; empty at the start.
        over: of the audio; empty where they are yet to be computed.
    """
    from transformers.cache_utils import EncoderDecoderCache

    return EncoderDecoderCache(_cache(own), _cache(over))


def _cache(pairs: tuple[KeysValues, ...]) -> Any:
    from transformers.cache_utils import DynamicCache, DynamicLayer

    cache: Any = DynamicCache()
    for keys, values in pairs:
        layer: Any = DynamicLayer()  # type: ignore[no-untyped-call]
        # As its own update() would leave it, but for the copy that update() makes.
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
        cache.layers.append(layer)
    return cache


def read_cache(cache: Any) -> tuple[KeysValues, ...]:
    """Give a cache's keys and values, a pair a layer."""
    return tuple((layer.keys, layer.values) for layer in cache.layers)
