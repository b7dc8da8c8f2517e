"""What must not move a captioner: its neighbours in a batch, padding, being asked twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from capfix_cli.audio.clip_sample import ProbeFailed, Sample
from capfix_cli.captioners.base import Captioner, Memory
from capfix_cli.core.thresholds import MOVED_NATS
from capfix_cli.decoding.caption_scoring import Tokens
from capfix_cli.probes.network_modules import eval_forced, noisy_layers
from capfix_cli.probes.next_word import along, divergence, inside, mean_over, rolled

CLIPS = 8  # each is encoded some six times
ALONE = 4  # of them one by one
PADDING = 0.5  # of a clip's length is added


@dataclass(frozen=True)
class Invariance:
    """How far the next word moves, KL in nats, when nothing but circumstances change.

    Attributes:
        clip: when the clip is another one: the yardstick.
        repeat: when the same is asked again.
        alone: when clips are encoded one by one and not together.
        permuted: when they stand in another order.
        padded: when zeros are added behind them and their lengths told.
        here: when clips of this folder are padded to the longest of them and not encoded alone;
            0 where all are equally long.
        in_front: when the zeros are added in front, as part of the clip; tried where those behind
            move anything, else None.
        training: when every layer is held in eval mode; None where that changes nothing to try.
        noisy: layers of Dropout and BatchNorm that ran in training mode.
    """

    clip: float
    repeat: float
    alone: float
    permuted: float
    padded: float
    here: float
    in_front: float | None
    training: float | None
    noisy: tuple[str, ...]


@torch.inference_mode()
def measure_invariance(captioner: Captioner, sample: Sample, caption: Tokens) -> Invariance:
    """Encode the same clips under different circumstances.

    All clips have one length and are followed along one caption, so that only what is changed can
    move anything.

    Args:
        captioner: any.
        sample: of clips.
        caption: to follow, end token included.

    Raises:
        Untestable: there are too few waveforms, or scores are not finite.
    """
    waveforms, lengths = sample.cropped(CLIPS)
    rows = len(waveforms)
    captions = [caption[:8]] * rows
    mask = inside(captions)

    def follow(memory: Memory, count: int = rows) -> Tensor:
        return along(captioner, memory, captions[:count])

    memory = captioner.encode(waveforms, lengths)
    own = follow(memory)
    if not bool(own[:, :, :].isfinite().any()):
        raise ProbeFailed("finite scores")
    clip = mean_over(divergence(own, follow(rolled(captioner, memory))), mask)
    again = follow(captioner.encode(waveforms, lengths))
    repeat = mean_over(divergence(own, again), mask)
    singles = torch.cat(
        [
            follow(captioner.encode(waveforms[i : i + 1], lengths[i : i + 1]), 1)
            for i in range(min(ALONE, rows))
        ]
    )
    alone = mean_over(divergence(own[: len(singles)], singles), mask[: len(singles)])
    order = torch.arange(rows - 1, -1, -1)
    turned = follow(captioner.encode(waveforms[order], lengths))[order]
    permuted = mean_over(divergence(own, turned), mask)
    extra = waveforms.new_zeros(rows, int(PADDING * waveforms.shape[1]), *waveforms.shape[2:])
    longer = follow(captioner.encode(torch.cat([waveforms, extra], dim=1), lengths))
    padded = mean_over(divergence(own, longer), mask)
    in_front = None
    if padded > MOVED_NATS.value:
        late = torch.cat([extra, waveforms], dim=1)
        heard = captioner.encode(late, torch.full_like(lengths, late.shape[1]))
        in_front = mean_over(divergence(own, follow(heard)), mask)
    training, noisy = _mode(captioner, waveforms, lengths, own=own, captions=captions, mask=mask)
    here = _padded_here(captioner, sample, caption)
    return Invariance(clip, repeat, alone, permuted, padded, here, in_front, training, noisy)


def _padded_here(captioner: Captioner, sample: Sample, caption: Tokens) -> float:
    """Encode clips of their own lengths together, padded, and one by one."""
    waveforms, lengths, names = sample.padded(CLIPS)
    if len(set(lengths.tolist())) < 2:
        return 0.0
    captions = [caption[:8]] * len(names)
    together = along(captioner, captioner.encode(waveforms, lengths), captions)
    alone = torch.cat(
        [
            along(
                captioner,
                captioner.encode(waveforms[i : i + 1, : int(n)], lengths[i : i + 1]),
                captions[:1],
            )
            for i, n in enumerate(lengths)
        ]
    )
    return mean_over(divergence(alone, together), inside(captions))


def _mode(
    captioner: Captioner,
    waveforms: Tensor,
    lengths: Tensor,
    *,
    own: Tensor,
    captions: Sequence[Tokens],
    mask: Tensor,
) -> tuple[float | None, tuple[str, ...]]:
    """Compare as given with every layer held in eval mode."""

    def run() -> Tensor:
        return along(captioner, captioner.encode(waveforms, lengths), captions)

    with eval_forced(captioner):
        held = run()
    moved = mean_over(divergence(own, held), mask)
    try:
        noisy = tuple(noisy_layers(captioner, run)) if moved > 0 else ()
    except ProbeFailed:
        noisy = ()
    return moved, noisy
