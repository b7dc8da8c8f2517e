"""What a captioner costs, counted and not timed: the same command does the same work everywhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from capfix_cli.audio.clip_sample import Sample
from capfix_cli.captioners.base import Captioner
from capfix_cli.decoding import nested_tensors as nested
from capfix_cli.decoding.decode import EncodedBatch


@dataclass(frozen=True)
class Cost:
    """Floating-point operations of matrix products, as PyTorch counts them.

    Attributes:
        token: to score one more word of one caption of one clip.
        clip: to encode one clip; 0 where it is not known.
    """

    token: float
    clip: float = 0.0


def _count(work: Callable[[], Any]) -> float:
    try:
        with FlopCounterMode(display=False) as counter:
            work()
    except Exception:
        # The counter takes operations apart, which some networks do not bear that run well by
        # themselves: weight norms of wav2vec 2.0's kind, for one.
        return 0.0
    return float(counter.get_total_flops())


@torch.inference_mode()
def measure_cost(captioner: Captioner, chunk: EncodedBatch, sample: Sample | None = None) -> Cost:
    """Count the step in the middle of the longest caption of one clip, and the clip's encoding.

    There a captioner that scores whole prefixes anew does what it does on average. One whose work
    cannot be counted costs nothing.
    """
    dim = captioner.memory_batch_dim
    memory = captioner.prepare(nested.select(chunk.memory, torch.tensor([0]), dim))
    scores, state = captioner.open(memory)
    token = scores.argmax(dim=1)
    for _ in range(captioner.max_length // 2):
        _, state = captioner.step(token, state, memory)
    clip = 0.0
    if sample is not None and sample.waveforms:
        waveforms, lengths, _ = sample.padded(1)
        clip = _count(lambda: captioner.encode(waveforms, lengths))
    return Cost(_count(lambda: captioner.step(token, state, memory)), clip)
