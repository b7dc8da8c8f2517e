"""How far the audio, and how far the words before, decide the next word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.captioners.base import Captioner, Memory
from capfix_cli.decoding.caption_scoring import Tokens
from capfix_cli.decoding.null_audio import make_absent
from capfix_cli.probes.next_word import (
    along,
    by_place,
    divergence,
    inside,
    mean_over,
    repeated,
    rolled,
)

Places = tuple[float, ...]


@dataclass(frozen=True)
class Conditioning:
    """How much the next word's distribution moves when the audio is exchanged, in nats.

    Attributes:
        swap: KL by place when the clip's memory is another clip's.
        mean: when it is the clips' average.
        silence: when it is that of silence; empty where it cannot be encoded.
        noise: when it is that of noise.
        entropy: of the distribution, by place.
        overall: ``swap`` over all words.
    """

    swap: Places
    mean: Places
    silence: Places
    noise: Places
    entropy: Places
    overall: float

    @property
    def highest(self) -> float:
        """The swap's KL at the place where it is highest."""
        return max(self.swap, default=0.0)

    @property
    def later(self) -> float:
        """The highest of the swap's KL from the third word on."""
        return max(self.swap[2:], default=0.0)


@torch.inference_mode()
def measure_conditioning(
    captioner: Captioner, memory: Memory, captions: Sequence[Tokens], seed: int
) -> Conditioning:
    """Exchange what the decoder hears and measure how far the next word moves.

    Args:
        captioner: any.
        memory: of the captions' clips.
        captions: of these clips; the captioner's own, drawn or greedy.
        seed: of the noise.
    """
    own, mask = along(captioner, memory, captions), inside(captions)
    rows = len(captions)
    swapped = divergence(own, along(captioner, rolled(captioner, memory), captions))
    swapped += divergence(own, along(captioner, rolled(captioner, memory, 2), captions))
    swapped /= 2
    others: dict[str, Places] = {}
    for kind in ("mean-memory", "silence", "noise"):
        try:
            absent = make_absent(captioner, kind, memory, rows, seed)
        except Exception:  # a captioner need not take silence
            others[kind] = ()
            continue
        heard = repeated(captioner, absent.memory, rows)
        others[kind] = by_place(divergence(own, along(captioner, heard, captions)), mask)
    entropy = -(own.exp() * own.clamp_min(-1e4)).sum(dim=-1)
    return Conditioning(
        by_place(swapped, mask),
        others["mean-memory"],
        others["silence"],
        others["noise"],
        by_place(entropy, mask),
        mean_over(swapped, mask),
    )


@torch.inference_mode()
def measure_prefix(
    captioner: Captioner, memory: Memory, captions: Sequence[Tokens], seed: int
) -> float:
    """Measure how far the next word moves when the words before it are others: KL in nats.

    The other words are drawn from all that the captions hold, so that they are words that the
    captioner says; where it says but one, from its vocabulary.

    Raises:
        Untestable: no caption has two words.
    """
    places = max(map(len, captions), default=0)
    if places < 3:  # a word and the end: nothing to depend on
        raise ProbeFailed("captions of two words or more")
    said = sorted({token for tokens in captions for token in tokens} - {captioner.eos_id})
    if len(said) < 3:
        said = [i for i in range(len(captioner.vocabulary)) if i != captioner.eos_id]
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(said), (len(captions), places), generator=generator)
    others = [
        tuple(said[int(i)] for i in row[: len(tokens)])
        for row, tokens in zip(drawn, captions, strict=True)
    ]
    mask = inside(captions)
    moved = divergence(along(captioner, memory, captions), along(captioner, memory, others))
    return mean_over(moved[:, 1:], mask[:, 1:])
