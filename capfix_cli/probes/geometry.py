"""What is left of the differences between clips in features and memory, and of time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from capfix_cli.audio.clip_sample import ProbeFailed, Sample
from capfix_cli.captioners.base import Captioner, Memory
from capfix_cli.decoding import nested_tensors as nested
from capfix_cli.decoding.decode import EncodedBatch, decode
from capfix_cli.decoding.decoding_options import GREEDY
from capfix_cli.probes.listening import ending
from capfix_cli.probes.next_word import along, divergence, inside, mean_over, rolled

CLIPS = 16


@dataclass(frozen=True)
class Spread:
    """How much a set of vectors, one a clip, differs from clip to clip.

    Attributes:
        share: between-clip variance over mean square (SCIENCE section 3).
        cosine: mean pairwise cosine.
        centred: the same after the mean was taken away.
        rank: RankMe, the effective number of dimensions (arXiv 2210.02885); at most the clips.
    """

    share: float
    cosine: float
    centred: float
    rank: float


@dataclass(frozen=True)
class Geometry:
    """Features, memory and time.

    Attributes:
        features: of the front end; None where the captioner does not separate it.
        memory: of the encoder.
        time: KL in nats by which the next word moves when the halves of a clip change places.
        clip: the same when the clip is another.
        still: how far the memory moves when the halves change places, mean square, as a share of
            how far it moves when the clip is another: near 0 where time was averaged away.
        frames: the longest axis of the memory beside that of the clips.
    """

    features: Spread | None
    memory: Spread
    time: float
    clip: float
    still: float
    frames: int


def spread(vectors: Tensor) -> Spread:
    """Describe [clips, ...] tensors.

    >>> spread(torch.ones(4, 3)).share
    0.0
    """
    flat = vectors.flatten(1).double()
    centre = flat.mean(dim=0, keepdim=True)
    rest = flat - centre
    total = float((flat**2).mean())
    share = float((rest**2).mean()) / total if total > 0 else 0.0
    values = torch.linalg.svdvals(rest)
    rank = 1.0
    if float(values.sum()) > 0:
        parts = values / values.sum()
        rank = math.exp(-float((parts * parts.clamp_min(1e-300).log()).sum()))
    return Spread(share, _cosine(flat), _cosine(rest), rank)


def _cosine(vectors: Tensor) -> float:
    """Mean cosine of all pairs."""
    unit = torch.nn.functional.normalize(vectors, dim=1)
    count = len(unit)
    total = float((unit @ unit.T).sum()) - float((unit**2).sum())
    return total / (count * (count - 1))


def flatten_memory(captioner: Captioner, memory: Memory) -> Tensor:
    """Give all numbers of a memory as [clips, numbers]."""
    dim, parts = captioner.memory_batch_dim, []

    def take(tensor: Tensor) -> Tensor:
        if tensor.is_floating_point() and tensor.ndim > dim:
            parts.append(tensor.movedim(dim, 0).flatten(1).float().cpu())
        return tensor

    nested.apply(memory, take)
    if not parts:
        raise ProbeFailed("a memory of floating-point numbers")
    return torch.cat(parts, dim=1)


def _frames(captioner: Captioner, memory: Memory) -> int:
    dim, sizes = captioner.memory_batch_dim, [1]

    def look(tensor: Tensor) -> Tensor:
        if tensor.ndim >= 3:
            sizes.extend(n for axis, n in enumerate(tensor.shape[:-1]) if axis != dim)
        return tensor

    nested.apply(memory, look)
    return max(sizes)


@torch.inference_mode()
def measure_geometry(captioner: Captioner, sample: Sample) -> Geometry:
    """Compare clips in features and memory, and a clip with itself, its halves exchanged.

    Raises:
        Untestable: there are too few waveforms.
    """
    waveforms, lengths = sample.cropped(CLIPS)
    features = None
    if separates(captioner):
        features = spread(captioner.features(waveforms, lengths)[0].float().cpu())
    memory = captioner.encode(waveforms, lengths)
    names = tuple(map(str, range(len(waveforms))))
    # Along its own captions: they name what it hears in the order in which it hears it.
    captions = [
        ending(one, captioner.eos_id) or (captioner.eos_id,)
        for one in decode(captioner, EncodedBatch(names, memory), GREEDY, 0)
    ]
    mask = inside(captions)
    own = along(captioner, memory, captions)
    half = waveforms.shape[1] // 2
    turned = torch.cat([waveforms[:, half:], waveforms[:, :half]], dim=1)
    heard = captioner.encode(turned, lengths)
    time = mean_over(divergence(own, along(captioner, heard, captions)), mask)
    swapped = rolled(captioner, memory)
    other = along(captioner, swapped, captions)
    clip = mean_over(divergence(own, other), mask)
    flat = flatten_memory(captioner, memory)
    apart = float(((flatten_memory(captioner, swapped) - flat) ** 2).mean())
    moved = flatten_memory(captioner, heard)
    still = float(((moved - flat) ** 2).mean()) if moved.shape == flat.shape else apart
    return Geometry(
        features,
        spread(flat),
        time,
        clip,
        still / apart if apart > 0 else 0.0,
        _frames(captioner, memory),
    )


def separates(captioner: Captioner) -> bool:
    """Say whether a captioner's features can be had apart from its encoder."""
    kind = type(captioner)
    return (
        kind.features is not Captioner.features
        and kind.encode_features is not Captioner.encode_features
    )
