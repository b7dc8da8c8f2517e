"""How much of the audio trials use: all of the sample, less of it where a captioner is dear."""

from __future__ import annotations

from dataclasses import dataclass

from capfix_cli.core.thresholds import CONTRAST_SET, MIN_CLIPS, TRIAL_BUDGET, TRIAL_PART
from capfix_cli.probes.captioner_cost import Cost

# Sizes tried in this order: (clips, contrast set). Fewer clips first, since a contrast set keeps
# its ceiling of bits that way; then both in turn, since diversity needs clips.
PASS_CLIPS = 500  # of the pass that a diagnosis is compared with
_SIZES = (
    (256, int(CONTRAST_SET.value)),
    (128, int(CONTRAST_SET.value)),
    (64, int(CONTRAST_SET.value)),
    (64, 11),
    (40, 11),
    (40, 6),
    (int(MIN_CLIPS.value), 6),
)


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

    Where it is known what encoding costs, a trial is also held to a part of a plain pass over 500
    clips, so that a whole diagnosis stays a small multiple of one.

    Args:
        cost: of the captioner.
        clips: whose memories are held.
        tokens: of the longest caption; trials are taken to fill half of it.
    """
    found = Scale(0, 0)
    budget = TRIAL_BUDGET.value
    if cost.clip:
        plain = PASS_CLIPS * (cost.clip + tokens / 2 * cost.token)
        budget = min(budget, TRIAL_PART.value * plain)
    for size, contrast in _SIZES:
        found = Scale(min(size, clips), contrast)
        pairs = found.clips * (1 + min(contrast, found.clips))  # decoded once, scored on each
        if pairs * tokens / 2 * cost.token <= budget:
            break
    return found
