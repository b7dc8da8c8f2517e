"""Captions per clip: does training see the several ways in which one clip can be told?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from capfix_cli.core.thresholds import SINGLE_CAPTION_SHARE
from capfix_cli.diagnosis.training_data.data_findings import Examined, data_cause, found
from capfix_cli.diagnosis.training_data.training_file import TrainingSet
from capfix_cli.schemas.measured_values import Evidence

ID = "data.single-caption"
TITLE = "Is each clip told in several ways?"
FACT = "training.captions_per_clip"
SURE_OF_WASTE = 0.6  # ours: captions are there and were left out
SURE_OF_LACK = 0.3  # ours: healthy captioners are trained on AudioCaps, one caption a clip


def find_single_caption(data: TrainingSet, facts: Mapping[str, Any]) -> Examined:
    """Say whether the file has one caption a clip, or training took one of several."""
    counts = [len(texts) for texts in data.captions]
    single = sum(count == 1 for count in counts) / len(counts)
    evidence = [
        Evidence(
            "mean number of captions in the file", sum(counts) / len(counts), "captions a clip"
        ),
        Evidence(
            "clips with one caption",
            single,
            SINGLE_CAPTION_SHARE.unit,
            SINGLE_CAPTION_SHARE.value,
            SINGLE_CAPTION_SHARE.source,
        ),
    ]
    used = facts.get(FACT)
    if not isinstance(used, int | float) or isinstance(used, bool):
        used = None
    if used is not None:
        evidence.append(
            Evidence(
                "captions a clip in training", used, "captions a clip", 2, "the checkpoint's own"
            )
        )
    if single > SINGLE_CAPTION_SHARE.value:
        sure, said = SURE_OF_LACK, f"{single:.0%} of the clips have one caption"
    elif used is not None and used < 2:
        sure, said = SURE_OF_WASTE, "training used one caption a clip of several"
    else:
        return found(ID, TITLE, suspect=False, evidence=evidence, rows=()), ()
    return found(ID, TITLE, suspect=True, evidence=evidence, rows=(), summary=said), (
        data_cause(ID, sure, evidence),
    )
