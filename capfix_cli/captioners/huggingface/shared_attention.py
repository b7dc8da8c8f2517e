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
    T] -> [R, Q, heads, width]; row r belongs to key row r // (R / B). Keys of [B, 1, T, heads *
    width] are the encoder's frames themselves: see :func:`_over_frames`.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    rows, heads, places, width = query.shape
    clips = key.shape[0]
    frames = key.shape[1] == 1 and heads > 1
    if rows == clips and not frames:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    each = rows // clips
    if attention_mask is not None:
        if attention_mask.shape[0] == rows:
            attention_mask = attention_mask[::each]
        # Over audio every place sees the same frames: one row of the mask stands for all.
        attention_mask = attention_mask[:, :, :1]
    if frames and _pays(module, each * places, heads):
        scale = options.get("scaling")
        scale = width**-0.5 if scale is None else scale
        return _over_frames(module, query, key, attention_mask, scale), None
    if frames:
        key, value = _project(module, key, heads)
    joined = query.view(clips, each, heads, places, width).transpose(1, 2)
    joined = joined.reshape(clips, heads, each * places, width)
    if attention_mask is not None:
        attention_mask = attention_mask.expand(-1, -1, each * places, -1)
    options["is_causal"] = False
    found, _ = sdpa_attention_forward(module, joined, key, value, attention_mask, **options)
    return found.reshape(rows, places, heads, width), None


def _pays(module: torch.nn.Module, queries: int, heads: int) -> bool:
    """Say whether attending to frames costs less than projecting them to keys and values first.

    A query over frames costs heads times as much as over keys; projecting costs a product with
    a matrix of the model's width for each frame.
    """
    return queries * (heads - 1) < _linear(module, "k_proj").in_features


def _linear(module: torch.nn.Module, name: str) -> torch.nn.Linear:
    found = getattr(module, name)
    if type(found) is not torch.nn.Linear:
        raise TypeError(f"{name} is a {type(found).__name__}")
    return found


def _over_frames(
    module: torch.nn.Module, query: Tensor, frames: Tensor, mask: Tensor | None, scale: float
) -> Tensor:
    """Attend to the encoder's frames without making keys and values of them.

    q . (W_k x) = (W_k^T q) . x, and a weighted sum of W_v x is W_v of the weighted sum: the
    projections move to the few queries, the frames are read once for all heads, and nothing is
    kept for each layer. The keys' bias adds the same to every frame, which softmax does not see.

    Shape: query [R, heads, Q, width], frames [B, 1, T, D], mask [B, 1, 1, T] ->
    [R, Q, heads, width].
    """
    rows, heads, places, width = query.shape
    clips, _, _, size = frames.shape
    w_key = _linear(module, "k_proj").weight.view(heads, width, size)
    value = _linear(module, "v_proj")
    moved = torch.bmm(query.transpose(0, 1).reshape(heads, rows * places, width), w_key)
    moved = moved.view(heads, clips, -1, size).transpose(0, 1).reshape(clips, 1, -1, size)
    if mask is not None:
        mask = mask.expand(-1, -1, moved.shape[2], -1)
    heard = torch.nn.functional.scaled_dot_product_attention(
        moved, frames, frames, attn_mask=mask, scale=scale
    )
    heard = heard.view(clips, heads, -1, size).transpose(0, 1).reshape(heads, rows * places, size)
    found = torch.bmm(heard, value.weight.view(heads, width, size).transpose(1, 2))
    if value.bias is not None:
        found = found + value.bias.view(heads, 1, width)
    return found.view(heads, rows, places, width).permute(1, 2, 0, 3).contiguous()


def _project(module: torch.nn.Module, frames: Tensor, heads: int) -> KeysValues:
    """[B, 1, T, D] -> keys and values [B, heads, T, width]."""
    inner = frames.squeeze(1)
    keys, values = (_linear(module, name)(inner) for name in ("k_proj", "v_proj"))
    shape = (*inner.shape[:2], heads, -1)
    return keys.view(shape).transpose(1, 2), values.view(shape).transpose(1, 2)


def make_cache(own: tuple[KeysValues, ...], over: tuple[KeysValues, ...]) -> Any:
    """Build a cache around keys and values without copying them.

    Args:
        own: of the words so far, a pair a layer; empty at the start.
        over: of the audio; empty where they are yet to be computed.
    """
    from transformers.cache_utils import EncoderDecoderCache

    return EncoderDecoderCache(_cache(own), _cache(over))


def _cache(pairs: tuple[KeysValues, ...]) -> Any:
    from transformers import cache_utils

    base: Any = cache_utils.DynamicLayer

    class Layer(base):  # type: ignore[misc]
        """As the layer that transformers grows, but the first keys are kept and not copied."""

        def update(
            self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
        ) -> KeysValues:
            if self.get_seq_length():
                found: KeysValues = super().update(key_states, value_states, *args, **kwargs)
                return found
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = key_states, value_states
            return key_states, value_states

    make_layer: Any = Layer
    cache: Any = cache_utils.DynamicCache()
    cache.layer_class_to_replicate = Layer
    for keys, values in pairs:
        layer = make_layer()
        layer.update(keys, values)
        cache.layers.append(layer)
    return cache


def read_cache(cache: Any) -> tuple[KeysValues, ...]:
    """Give a cache's keys and values, a pair a layer."""
    return tuple((layer.keys, layer.values) for layer in cache.layers)
