"""What stands for "no audio" in audio-contrastive decoding."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from capfix_cli.captioners.base import Captioner, Memory
from capfix_cli.core.errors import CapfixError
from capfix_cli.decoding import nested_tensors as nested
from capfix_cli.decoding.decoding_options import AbsentKind

OTHERS = 8  # clips whose average distribution stands for "no audio"


@dataclass(frozen=True)
class NullAudio:
    """Memories without the clip's audio; several are averaged as distributions.

    Attributes:
        memory: as ``encode`` gives it.
        clips: rows of it.
    """

    memory: Memory
    clips: int


@torch.inference_mode()
def make_absent(
    captioner: Captioner, kind: AbsentKind, memory: Memory, clips: int, seed: int
) -> NullAudio:
    """Make what stands for "no audio" from other clips' memory, or from silence or noise.

    Args:
        captioner: encodes silence and noise.
        kind: which of the four; a memory without floating-point numbers has no mean, and others
            are taken for it.
        memory: of clips of the same data; silence and noise do not use it.
        clips: of the memory.
        seed: of the clips chosen and of the noise.

    Raises:
        CapfixError: others or their mean are asked for and there is one clip.
    """
    if kind in {"silence", "noise"}:
        return NullAudio(
            captioner.encode(*captioner.blank_audio(noise=kind == "noise", seed=seed)), 1
        )
    if clips < 2:
        raise CapfixError(
            "The contrast compares a clip with others, and there is one clip.",
            "Add --contrast-against silence, or give more clips.",
        )
    dim = captioner.memory_batch_dim
    if kind == "mean-memory" and _has_mean(memory):
        return NullAudio(nested.apply(memory, lambda tensor: _mean(tensor, dim)), 1)
    chosen = torch.tensor(sorted(range(clips), key=lambda row: _rank(seed, row))[:OTHERS])
    return NullAudio(nested.select(memory, chosen.sort().values, dim), len(chosen))


def _has_mean(memory: Memory) -> bool:
    found: list[bool] = []

    def look(tensor: Tensor) -> Tensor:
        found.append(tensor.is_floating_point())
        return tensor

    nested.apply(memory, look)
    return any(found)


def _rank(seed: int, row: int) -> bytes:
    return hashlib.blake2b(f"{seed}/{row}".encode(), digest_size=8).digest()


def _mean(tensor: Tensor, dim: int) -> Tensor:
    """Average rows; of a mask the places that any row has, of counts the largest."""
    if tensor.ndim <= dim:
        return tensor
    if tensor.dtype == torch.bool:
        return tensor.any(dim=dim, keepdim=True)
    if not tensor.is_floating_point():
        return tensor.amax(dim=dim, keepdim=True)
    return tensor.mean(dim=dim, keepdim=True)


def average(logits: Tensor, parts: int) -> Tensor:
    """Average distributions: [parts * R, V] scores, part by part -> [R, V] log-probabilities."""
    logprobs = logits.log_softmax(dim=1)
    if parts == 1:
        return logprobs
    grouped = logprobs.view(parts, -1, logits.shape[1])
    return grouped.logsumexp(dim=0) - math.log(parts)
