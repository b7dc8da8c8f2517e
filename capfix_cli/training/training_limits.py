"""Thresholds of training, as :mod:`capfix_cli.core.thresholds` has those of diagnosis."""

from __future__ import annotations

from capfix_cli.core.thresholds import Threshold

COMMONEST_SHARE = Threshold(
    0.5, "share of clips with one caption", "ours: half of the clips are told the same"
)
LISTENING_RISE = Threshold(
    0.02,
    "share of the ceiling",
    "ours: from one look to the next; below it bits move by the noise of a few clips",
)
LOSS_FALL = Threshold(
    0.02, "share of the first loss", "ours: more than the captions drawn for an epoch move it by"
)
ALPHA_LIMIT = Threshold(
    1.0, "weight of the diversity loss", "ours: above it repeats weigh more than a word's own loss"
)
UNKNOWN_WORDS = Threshold(
    0.5, "share of words", "ours: captions half unknown are in another language or vocabulary"
)
