"""Does capfix score captions as the user's training did? The loss says so, in one number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from capfix_cli.audio.audio_batches import iterate_batches
from capfix_cli.audio.clip_set import ClipSet
from capfix_cli.captioners.base import Captioner
from capfix_cli.core.errors import CapfixError
from capfix_cli.decoding.caption_scoring import reference_tokens, score_sequences
from capfix_cli.decoding.encode_pass import encode

# How training code averages its loss: the four usual ways.
WAYS = (
    "a token, end tokens included",
    "a token, without end tokens",
    "a caption, end tokens included",
    "a caption, without end tokens",
)


@dataclass(frozen=True, kw_only=True)
class LossCheck:
    """The loss that capfix computes of captions, beside the user's.

    Attributes:
        captions: how many were scored.
        values: nats, averaged in each of the usual ways.
        yours: the user's number.
        decimals: how many decimals it was given with.
    """

    captions: int
    values: Mapping[str, float]
    yours: float
    decimals: int

    @property
    def same(self) -> str | None:
        """The way that gives the user's number, as far as it was written down; None if none."""
        # Rounding moves the last decimal by half; arithmetic in another order by as much again.
        near = 10.0**-self.decimals
        return next((w for w, v in self.values.items() if abs(v - self.yours) <= near), None)

    @property
    def sentence(self) -> str:
        """Say it in one sentence."""
        if self.same is not None:
            return (
                f"your loss {self.yours:g} is capfix's, {self.same}, over {self.captions} captions"
            )
        shown = ", ".join(f"{value:.{self.decimals}f} {way}" for way, value in self.values.items())
        return (
            f"your loss is {self.yours:g}, and capfix's of the same {self.captions} captions is"
            f" {shown}: the captioner scores other than training did, or averages otherwise"
        )


@torch.inference_mode()
def compare_loss(
    captioner: Captioner,
    clips: ClipSet,
    captions: Mapping[str, Sequence[str]],
    yours: str,
    batch_size: int = 32,
) -> LossCheck:
    """Score captions by teacher forcing and average in the usual ways.

    Args:
        captioner: in eval mode.
        clips: the audio.
        captions: clip -> captions, of which the first is scored.
        yours: the number that the user's training code prints for them.
        batch_size: clips.

    Raises:
        CapfixError: ``yours`` is no number.
    """
    number = read_number(yours)
    sums = {True: 0.0, False: 0.0}
    counts = {True: 0, False: 0}
    scored = 0
    chosen = [clip for clip in clips.clips if captions.get(clip.name)]
    for batch in iterate_batches(chosen, captioner.sample_rate, batch_size, captioner.min_samples):
        if not batch.clips:
            continue
        chunk = encode(captioner, batch)
        prepared = captioner.prepare(chunk.memory)
        tokens = [reference_tokens(captioner, captions[name][0]) for name in chunk.names]
        for ended in (True, False):
            some = tokens if ended else [row[:-1] for row in tokens]
            found = score_sequences(captioner, prepared, some, len(some))
            sums[ended] -= float(found.sum())
            counts[ended] += sum(map(len, some))
        scored += len(tokens)
    values = (
        sums[True] / max(1, counts[True]),
        sums[False] / max(1, counts[False]),
        sums[True] / max(1, scored),
        sums[False] / max(1, scored),
    )
    return LossCheck(
        captions=scored,
        values=dict(zip(WAYS, values, strict=True)),
        yours=number,
        decimals=len(yours.partition(".")[2]),
    )


def read_number(text: str) -> float:
    """Read the user's loss.

    Raises:
        CapfixError: it is no number.
    """
    try:
        return float(text)
    except ValueError:
        raise CapfixError(
            f"--loss {text} is no number.", "Give the loss that your training prints: --loss 2.31"
        ) from None
