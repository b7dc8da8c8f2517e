"""Fix 4.1: class balancing."""

from __future__ import annotations

from capfix_cli.fixes.fix_spec import AblatedForm, FixSetting, FixSpec, Switch

FIX = FixSpec(
    id="4.1",
    title="Class balancing",
    aliases=("balancing", "balance", "oversampling", "weighted sampling", "imbalance"),
    what=(
        "Draws rare kinds of caption more often and common ones less, so that one favourite does "
        "not pay off everywhere: 1000 captions of walking against 10 of an alarm clock."
    ),
    when="When a few captions fill a large part of the training file.",
    settings=(
        # The document names the ways without numbers; ours, the usual power of a frequency.
        FixSetting(
            name="balance",
            value="0.5",
            recommended="0.5",
            ranges=(
                ("0", "off: drawn as often as they occur"),
                ("0.5", "by the square root of the frequency"),
                ("1", "every kind equally often; rare captions are seen over and over"),
            ),
        ),
    ),
    pros=("Removes the reward for one favourite caption", "A weighted sampler, no new data"),
    cons=("Needs retraining", "Rare captions repeat and can be learnt by heart"),
    impact="medium-high",
    effort="low-medium",
    retrain=True,
    priority=2,
    order=50,
    snippet="""\
from collections import Counter

from torch.utils.data import WeightedRandomSampler


def balanced_sampler(kinds: list[str], power: float = 0.5) -> WeightedRandomSampler:
    # kinds: one a training caption, such as its main event. Draws a kind that occurs n times
    # in proportion to n ** (1 - power).
    count = Counter(kinds)
    weights = [count[kind] ** -power for kind in kinds]
    return WeightedRandomSampler(weights, num_samples=len(kinds))
""",
    caution=(
        "Severe imbalance teaches a model to ignore audio, as captions that all belong to the "
        "neighbouring clip do (.1 bits; our measurement). Its sign: the caption given no audio is "
        "the commonest one. Rule out shifted pairs first."
    ),
    source="the document, 4.1",
    cures=("data.imbalanced",),
    switch=Switch(
        lambda setup: setup.change("data", balance=0.5),
        lambda setup: setup.data.balance > 0,
        "data.balance",
        told=("`data.balance` 0 to 1; `balance_by: weights`, `oversampling` or `undersampling`"),
        start="0.5",
    ),
    ablated=(
        AblatedForm("balance, weights"),
        AblatedForm("balance, oversampling", {"data": {"balance_by": "oversampling"}}),
    ),
)
