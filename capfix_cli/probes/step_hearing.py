"""Whether every step of a decoder hears the audio, by how it is built and not by what it learnt."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.captioners.base import Captioner, Memory
from capfix_cli.decoding import nested_tensors as nested
from capfix_cli.decoding.caption_scoring import Tokens
from capfix_cli.probes.network_modules import watched
from capfix_cli.probes.next_word import rolled

PLACES = 4  # of a caption that are looked at
SAME = 1e-6  # in ln p: the same numbers in the same order differ by nothing at all


@torch.inference_mode()
def every_step_hears(captioner: Captioner, memory: Memory, caption: Tokens, rows: int) -> bool:
    """Exchange the memory at one step alone, the state left as it is, and see whether scores move.

    A decoder that has learnt to do without the audio still moves by a trace, one that is not given
    it by nothing. One without a state of its own tells by what its first recurrent layer reads.

    Args:
        captioner: any.
        memory: of clips that differ.
        caption: to follow, of three words or more.
        rows: clips in the memory.

    Raises:
        ProbeFailed: nothing tells.
    """
    if len(caption) < 3:
        raise ProbeFailed("captions of three words or more")
    if type(captioner).step is Captioner.step:
        return _layer_reads(captioner, memory, caption, rows)
    own, other = captioner.prepare(memory), captioner.prepare(rolled(captioner, memory))
    _, state = captioner.open(own)
    moved = []
    for token in caption[:PLACES]:
        if not _recurrent(state):
            raise ProbeFailed("a decoder with a state of tensors")
        words = torch.full((rows,), token)
        kept = nested.apply(state, torch.clone)
        strange, _ = captioner.step(words, kept, other)
        scores, state = captioner.step(words, state, own)
        apart = scores.float().log_softmax(1) - strange.float().log_softmax(1)
        moved.append(float(apart.abs().max()) > SAME)
    return all(moved)


def _recurrent(state: Any) -> bool:
    """Say whether a state holds numbers: one of words alone is read anew at every step."""
    found: list[bool] = []

    def look(tensor: Tensor) -> Tensor:
        found.append(tensor.is_floating_point() and tensor.numel() > 0)
        return tensor

    if isinstance(state, Tensor | tuple | list | dict):
        nested.apply(state, look)
    return any(found)


def _layer_reads(captioner: Captioner, memory: Memory, caption: Tokens, rows: int) -> bool:
    """Compare what the first recurrent layer is given under either memory, word by word."""
    prefix = torch.tensor([caption[:PLACES]]).expand(rows, -1).contiguous()
    read = [_read(captioner, prefix, heard) for heard in (memory, rolled(captioner, memory))]
    one, other = read
    if one.shape != other.shape or one.shape[1] < PLACES - 1:
        raise ProbeFailed("a recurrent layer that reads whole captions")
    apart = (one - other).abs().amax((0, 2))[1:]
    return bool((apart > SAME).all())


def _read(captioner: Captioner, prefix: Tensor, memory: Memory) -> Tensor:
    """[rows, words, inputs] of the first recurrent layer that runs."""
    found: list[Tensor] = []

    def watcher(name: str, layer: nn.Module, given: tuple[Any, ...], gave: Any) -> None:
        if isinstance(layer, nn.RNNBase) and given and isinstance(given[0], Tensor):
            read = given[0]
            if read.ndim == 3:
                found.append(read if layer.batch_first else read.transpose(0, 1))

    with watched(captioner, watcher):
        captioner.logits(prefix, captioner.prepare(memory))
    if not found:
        raise ProbeFailed("a decoder with a state of tensors, or a recurrent layer")
    return found[0]
