"""Clips whose numbers overflow: not finite, or hidden behind a default that takes their place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from capfix_cli.audio.clip_sample import ProbeFailed, Sample
from capfix_cli.captioners.base import Captioner, Memory
from capfix_cli.core.thresholds import HUGE_MEMORY
from capfix_cli.decoding import nested_tensors as nested
from capfix_cli.decoding.caption_scoring import Tokens
from capfix_cli.probes.next_word import along

FEWEST = 8  # clips
CLIPS = 16  # that are encoded where no batch has enough of them
QUIETER = 0.1  # factor on the samples: 20 dB, or 4.6 less in ln of power
SAME = 1e-6  # of probabilities: what no network gives two clips by itself


@dataclass(frozen=True)
class Overflow:
    """Clips that get no numbers of their own, and what becomes of them when they are quieter.

    Attributes:
        clips: that were looked at.
        stuck: names of those whose memory is a thousand times the usual one, or whose next words
            are no numbers, all as likely, or the same to the bit as others'.
        freed: of these, the ones that get numbers of their own when they are quieter.
        louder: share of (stuck, other) pairs in which the stuck clip is the louder, by its peak
            level in short frames; .5 by chance, and 1 where all clips are stuck.
        huge: whether their memories are a thousand times the usual one.
        speechless: whether their next words are no numbers, all as likely, or others' to the bit.
    """

    clips: int
    stuck: tuple[str, ...]
    freed: tuple[str, ...]
    louder: float
    huge: bool = False
    speechless: bool = False


@torch.inference_mode()
def measure_overflow(
    captioner: Captioner, memory: Memory, names: Sequence[str], sample: Sample, caption: Tokens
) -> Overflow:
    """Find clips that share one answer to the bit, and ask again with the sound turned down.

    Args:
        captioner: any.
        memory: of clips, as it was encoded for their captions.
        names: of them.
        sample: of clips with their waveforms.
        caption: to follow.

    Raises:
        ProbeFailed: there are too few clips.
    """
    waveforms = dict(zip(sample.names, sample.waveforms, strict=True))
    rows = [row for row, name in enumerate(names) if name in waveforms][:CLIPS]
    if len(rows) < FEWEST:
        raise ProbeFailed(f"the waveforms of at least {FEWEST} clips")
    heard = [waveforms[names[row]] for row in rows]
    held = nested.select(memory, torch.tensor(rows), captioner.memory_batch_dim)
    own = _answers(captioner, held, len(rows), caption)
    size = _sizes(held, captioner.memory_batch_dim, len(rows))
    most = HUGE_MEMORY.value * float(size.median())
    silent = _stuck(own)
    stuck = sorted({*silent, *torch.nonzero(size > most).flatten().tolist()})
    told = tuple(names[rows[place]] for place in stuck)
    if not stuck:
        return Overflow(len(rows), (), (), 0.5)
    lengths = torch.tensor([len(heard[place]) for place in stuck])
    softer = pad_sequence([QUIETER * heard[place] for place in stuck], batch_first=True)
    memory_now = captioner.encode(softer, lengths)
    now = _answers(captioner, memory_now, len(stuck), caption)
    size_now = _sizes(memory_now, captioner.memory_batch_dim, len(stuck))
    still = {*_stuck(now), *torch.nonzero(size_now > most).flatten().tolist()}
    freed = tuple(
        name
        for row, (name, place) in enumerate(zip(told, stuck, strict=True))
        if row not in still and float((now[row] - own[place]).abs().max()) > SAME
    )
    level = [_level(samples) for samples in heard]
    rest = [place for place in range(len(rows)) if place not in stuck]
    pairs = [level[one] > level[other] for one in stuck for other in rest]
    louder = sum(pairs) / len(pairs) if pairs else 1.0
    huge = bool((size[stuck] > most).all())
    return Overflow(len(rows), told, freed, louder, huge, set(stuck) <= set(silent))


def _sizes(memory: Memory, dim: int, rows: int) -> Tensor:
    """[rows] largest absolute value of each clip's memory; infinite where it holds no numbers."""
    largest = torch.zeros(rows)

    def look(tensor: Tensor) -> Tensor:
        if tensor.is_floating_point() and tensor.ndim > dim and tensor.shape[dim] == rows:
            found = tensor.detach().movedim(dim, 0).flatten(1).abs().amax(dim=1).cpu().float()
            torch.maximum(largest, found.nan_to_num(torch.inf), out=largest)
        return tensor

    nested.apply(memory, look)
    return largest


def _answers(captioner: Captioner, memory: Memory, rows: int, caption: Tokens) -> Tensor:
    """[rows, places x words] probabilities along a caption."""
    return along(captioner, memory, [caption[:3]] * rows).exp().flatten(1)


def _stuck(rows: Tensor) -> list[int]:
    """Rows that are no numbers, the same for every word, or the same as others to the bit.

    Of the last the largest group; a default in the place of numbers makes all words as likely.
    """
    apart = rows.amax(dim=1) - rows.amin(dim=1)
    flat = apart <= SAME * rows.amax(dim=1)
    broken = [r for r in range(len(rows)) if not bool(rows[r].isfinite().all()) or bool(flat[r])]
    best: list[int] = []
    for row in range(len(rows)):
        same = (rows - rows[row]).abs().amax(dim=1) <= SAME
        group = torch.nonzero(same).flatten().tolist()
        if len(group) > max(1, len(best)):
            best = group
    return sorted({*broken, *best})


def _level(samples: Tensor) -> float:
    """Peak level of frames of 1,024 samples."""
    size = min(1024, len(samples))
    frames = samples[: len(samples) // size * size].view(-1, size)
    return float(frames.square().mean(dim=1).max())
