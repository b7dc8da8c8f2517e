"""How much of the audio trials use: all of the sample, less of it where a captioner is dear."""

from __future__ import annotations

from dataclasses import dataclass

from capfix_cli.probes.cost import Cost
from capfix_cli.thresholds import CONTRAST_SET, MIN_CLIPS, TRIAL_BUDGET

# Sizes tried in this order. Fewer clips first: a contrast set keeps its ceiling of bits that way.
_CLIPS = (256, 128, 64, 40, int(MIN_CLIPS.value))
_CONTRASTS = (int(CONTRAST_SET.value), 11, 6)


@dataclass(frozen=True)
class Scale:
    """The size of trials.

    Attributes:
        clips: on which a trial is made.
        contrast: clips on which each of its captions is tried, its own included.
    """

    clips: int
    contrast: int


def affordable(cost: Cost, clips: int, tokens: int) -> Scale:
    """Choose the largest size whose trial costs no more than the budget; the smallest at least.

    Args:
        cost: of the captioner.
        clips: whose memories are held.
        tokens: of the longest caption; trials are taken to fill half of it.
    """
    found = Scale(min(clips, _CLIPS[-1]), _CONTRASTS[-1])
    for contrast in _CONTRASTS:
        for size in _CLIPS:
            count = min(size, clips)
            pairs = count * (1 + min(contrast, count))  # decoded once, scored on each of its set
            if pairs * tokens / 2 * cost.token <= TRIAL_BUDGET.value:
                return Scale(count, contrast)
    return found
