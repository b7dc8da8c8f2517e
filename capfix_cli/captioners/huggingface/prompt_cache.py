"""The cache of a prompt, kept once a clip, and what is said after it, kept once a row.

A cache of transformers holds prompt and words in one tensor a layer, and copies the prompt for
every beam and at every word. Here the prompt's keys and values stay where they are, [B, ...], and
the rows of a clip, [R, ...] with r of clip r // (R / B), keep their own words alone.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

Pairs = tuple[tuple[Tensor, Tensor], ...]  # keys and values of each layer that has any


class PromptCaches:
    """Takes caches of a model apart and puts them together again.

    Args:
        filled: any cache of the model after its prompt; its layers show what kinds there are.
    """

    def __init__(self, filled: Any) -> None:
        self.layers = [_emptied(layer) for layer in filled.layers]
        self.shared = all(_is_plain(layer) or _is_empty(layer) for layer in filled.layers)
        self.outer = copy.copy(filled)

    def split(self, filled: Any) -> tuple[Any, Any]:
        """Give what is of the prompt, a row a clip, and what each row goes on from.

        Of caches that cannot be shared all goes to the rows.
        """
        if not self.shared:
            return (), _held(filled)
        pairs = tuple(
            () if _is_empty(layer) else (layer.keys, layer.values) for layer in filled.layers
        )
        return pairs, tuple((k[0][:, :, :0], k[1][:, :, :0]) if k else () for k in pairs)

    def join(self, prompt: Any, said: Any, length: int) -> Any:
        """Put a cache together for one call of the model.

        Args:
            prompt: what :meth:`split` gave of the prompt.
            said: of the rows, so far.
            length: places of the prompt.
        """
        cache = copy.copy(self.outer)
        if not self.shared:
            cache.layers = [
                _filled(layer, values) for layer, values in zip(self.layers, said, strict=True)
            ]
            return cache
        kind = _make_layer()
        cache.layers = [
            kind(layer, base, own, length) if base else layer
            for layer, base, own in zip(self.layers, prompt, said, strict=True)
        ]
        return cache

    def read(self, cache: Any) -> Any:
        """Give what the rows go on from after a call."""
        if not self.shared:
            return _held(cache)
        return tuple(getattr(layer, "own", ()) for layer in cache.layers)


def _is_plain(layer: Any) -> bool:
    from transformers import cache_utils

    sliding: Any = cache_utils.DynamicSlidingWindowLayer
    return type(layer) in {cache_utils.DynamicLayer, sliding}


def _is_empty(layer: Any) -> bool:
    """Say whether a layer keeps nothing, since it uses another's keys."""
    return layer.keys is None and not any(isinstance(v, Tensor) for v in vars(layer).values())


def _emptied(layer: Any) -> Any:
    """Copy a layer without what it holds."""
    bare = copy.copy(layer)
    for name, value in vars(bare).items():
        if isinstance(value, Tensor) and not name.startswith("_"):
            setattr(bare, name, None)
    return bare


def _held(cache: Any) -> tuple[dict[str, Any], ...]:
    """Give everything that layers hold; tensors are copied where a layer may write into them."""
    return tuple(
        {
            name: _own(value) if not _is_plain(layer) else value
            for name, value in vars(layer).items()
            if not name.startswith("_") and not isinstance(value, torch.device | torch.dtype)
        }
        for layer in cache.layers
    )


def _own(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: _own(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_own(inner) for inner in value)
    return copy.copy(value)


def _filled(layer: Any, values: dict[str, Any]) -> Any:
    full = copy.copy(layer)
    for name, value in values.items():
        setattr(full, name, value if _is_plain(layer) else _own(value))
    return full


def _make_layer() -> Any:
    """Make the layer over a shared prompt; transformers is imported where it is used."""
    from transformers import cache_utils

    base: Any = cache_utils.CacheLayerMixin

    class SharedPromptLayer(base):  # type: ignore[misc]
        """As a growing layer of transformers whose first keys belong to several rows.

        Args:
            like: the layer that the model itself would use.
            prompt: keys and values [B, heads, T, width] of the clips.
            own: of the rows' own words, [R, heads, t, width].
            length: places of the prompt, of which a sliding window may have kept fewer.
        """

        def __init__(self, like: Any, prompt: Any, own: Any, length: int) -> None:
            super().__init__()
            self.prompt, self.own = prompt, own
            self.is_sliding = like.is_sliding
            self.window = like.sliding_window if like.is_sliding else None
            self.is_initialized = True
            self.length: int = length + own[0].shape[2]

        def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
            raise ValueError("a layer over a prompt holds keys from the start")

        def update(
            self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
        ) -> tuple[Tensor, Tensor]:
            new = (key_states, value_states)
            self.own = tuple(
                torch.cat([old.to(fresh.dtype), fresh], dim=2)
                for old, fresh in zip(self.own, new, strict=True)
            )
            self.length += key_states.shape[2]
            whole = [
                _over(base, own, key_states, self.window)
                for base, own in zip(self.prompt, self.own, strict=True)
            ]
            self.keys, self.values = whole
            return self.keys, self.values

        def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
            if self.window is None:
                return self.length + query_length, 0
            offset = max(self.length - self.window + 1, 0)
            return min(self.length, self.window - 1) + query_length, offset

        def get_seq_length(self) -> int:
            return self.length

        def get_max_length(self) -> int:
            return self.window if self.window is not None else -1

    return SharedPromptLayer


def _over(prompt: Tensor, own: Tensor, new: Tensor, window: int | None) -> Tensor:
    """Give each row its clip's prompt before its own words, as much as a window lets it see."""
    rows, _, places, _ = new.shape
    each = rows // prompt.shape[0]
    spread = prompt if each == 1 else prompt.repeat_interleave(each, dim=0)
    whole = torch.cat([spread, own], dim=2)
    return whole if window is None else whole[:, :, -(window - 1 + places) :]
