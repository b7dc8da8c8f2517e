"""Whether captions end by what was said, or by how many words were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.captioners.base import Captioner, Memory
from capfix_cli.core.thresholds import CUT_END
from capfix_cli.decoding.caption_scoring import Tokens
from capfix_cli.probes.next_word import along

FEWEST = 4  # references that go on at a place


@dataclass(frozen=True)
class CutShort:
    """The end token where references go on.

    Attributes:
        words: after how many words the end is likeliest although references go on.
        end: its mean probability there.
        before: its highest mean probability at earlier places, references going on.
        longer: share of references that have more words.
        own: share of own captions that have exactly so many words.
    """

    words: int
    end: float
    before: float
    longer: float
    own: float


@torch.inference_mode()
def measure_cut(
    captioner: Captioner,
    memory: Memory,
    references: Sequence[Tokens],
    captions: Sequence[Tokens],
) -> CutShort:
    """Look for the place at which captions are ended in the middle of references.

    Args:
        captioner: any.
        memory: of the clips.
        references: one a clip, end token included.
        captions: own captions, of any clips, end token included where it came.

    Raises:
        ProbeFailed: references are too short.
    """
    found = along(captioner, memory, references)[:, :, captioner.eos_id].exp()
    ends = []
    for place in range(1, found.shape[1]):
        goes_on = [r for r, t in enumerate(references) if len(t) > place + 1]
        if len(goes_on) >= FEWEST:
            ends.append((place, float(found[goes_on, place].mean()), len(goes_on)))
    if len(ends) < 2:
        raise ProbeFailed("references of several words")
    # The first place at which most are ended: after it there is nothing but ends.
    likeliest = max(ends, key=lambda row: row[1])
    place, end, count = next((row for row in ends if row[1] >= CUT_END.value), likeliest)
    before = max((value for other, value, _ in ends if other < place), default=0.0)
    lengths = [len([t for t in tokens if t != captioner.eos_id]) for tokens in captions]
    own = sum(length == place for length in lengths) / max(1, len(lengths))
    return CutShort(place, end, before, count / len(references), own)
