"""Whether a decoder's attention chooses: its entropy, and how it moves with words and clips."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.captioners.base import Captioner, Memory
from capfix_cli.decoding.caption_scoring import Tokens
from capfix_cli.probes.next_word import along

FEWEST_FRAMES = 4  # over fewer there is nothing to choose between


@dataclass(frozen=True)
class Attention:
    """What weights over a clip's frames do.

    Attributes:
        entropy: mean entropy over log of the frames: 1 where every frame weighs the same. Of the
            head that chooses most.
        steps: mean total variation between one word's weights and the next's, of the head that
            moves most.
        calls: how many sets of weights were seen.
        frames: over how many frames.
    """

    entropy: float
    steps: float
    calls: int
    frames: int


_SOFTMAX = {torch.softmax, Tensor.softmax, F.softmax, torch._C._nn.__dict__.get("softmax")}


class _Watching(TorchFunctionMode):
    """Keeps every softmax whose last axis has as many places as the memory has frames."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.frames = frames
        self.seen: list[Tensor] = []

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention and args[1].shape[-2] == self.frames:
            query, key = args[0].float(), args[1].float()
            if query.shape[:-2] == key.shape[:-2]:
                scale = kwargs.get("scale") or 1 / math.sqrt(query.shape[-1])
                weights = query @ key.transpose(-1, -2) * scale
                mask = kwargs.get("attn_mask", args[3] if len(args) > 3 else None)
                if mask is not None:
                    bias = (
                        torch.zeros_like(weights).masked_fill(~mask, float("-inf"))
                        if mask.dtype == torch.bool
                        else mask
                    )
                    weights = weights + bias
                self.seen.append(torch.softmax(weights, dim=-1))
        result = func(*args, **kwargs)
        if func in _SOFTMAX and isinstance(result, Tensor) and result.ndim >= 2:
            last = result.shape[-1] == self.frames
            if last and bool((result.sum(dim=-1) - 1).abs().max() < 1e-3):
                self.seen.append(result.detach().float())
        return result


@torch.inference_mode()
def measure_attention(
    captioner: Captioner, memory: Memory, captions: Sequence[Tokens], frames: int
) -> Attention:
    """Watch the weights over a memory's frames while captions are followed.

    Args:
        captioner: any.
        memory: of the captions' clips.
        captions: to follow, each of two words or more.
        frames: of the memory.

    Raises:
        Untestable: the memory keeps no time, or nothing weighs its frames.
    """
    if frames < FEWEST_FRAMES:
        raise ProbeFailed("a memory that keeps time")
    with _Watching(frames) as watching:
        along(captioner, memory, captions)
    rows = len(captions)
    seen = [one for one in watching.seen if one.shape[0] % rows == 0]
    if not seen:
        raise ProbeFailed("a decoder that attends over the memory's frames by softmax")
    # By shape: layers of one kind give weights of one shape, call after call, word by word.
    # The last query is the newest word's.
    steps: dict[int, list[Tensor]] = {}
    for one in seen:
        flat = (
            one.reshape(rows, -1, frames)
            if one.ndim < 4
            else one[:, :, -1].reshape(rows, -1, frames)
        )
        flat = flat[:, -1:] if one.ndim == 3 and one.shape[0] == rows else flat
        steps.setdefault(flat.shape[1], []).append(flat.cpu())
    entropies, moves = [], []
    for weights in steps.values():
        for one in weights:
            value = -(one * one.clamp_min(1e-12).log()).sum(dim=-1) / math.log(frames)
            entropies.append(float(value.mean(dim=0).min()))
        words = max(1, *map(len, captions))
        layers = max(1, len(weights) // words)
        moves += [
            float((later - earlier).abs().sum(dim=-1).mean(dim=0).max()) / 2
            for earlier, later in zip(weights, weights[layers:], strict=False)
        ]
    entropies.sort()
    entropy = sum(entropies) / len(entropies)
    return Attention(entropy, max(moves, default=0.0), len(seen), frames)
