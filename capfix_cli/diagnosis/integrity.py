"""The gate in front of the tree: is the input or the checkpoint broken?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from capfix_cli.captioners.base import Captioner
from capfix_cli.measures.diversity import expected_distinct
from capfix_cli.measures.table import cuts
from capfix_cli.records import Cause, Evidence, SkippedClip
from capfix_cli.thresholds import JUDGED_AT, SILENT_SHARE


@dataclass(frozen=True)
class Integrity:
    """What the gate found.

    Attributes:
        causes: each fault with its evidence; none where all is sound.
        runnable: False where the captioner's numbers mean nothing and no trial would.
        first_step: what to do before anything else, in words; empty where all is sound.
    """

    causes: tuple[Cause, ...] = ()
    runnable: bool = True
    first_step: str = ""


def check_integrity(
    captioner: Captioner,
    digests: Sequence[bytes],
    skipped: Sequence[SkippedClip],
    finite_outputs: bool,
) -> Integrity:
    """Look for faults that imitate a collapse.

    Args:
        captioner: its weights are checked.
        digests: of the usable clips' samples.
        skipped: files that could not be used.
        finite_outputs: whether every memory and first score of the captioner was finite.
    """
    faults = [
        fault
        for fault in (
            _non_finite(captioner, finite_outputs),
            _silent(len(digests), skipped),
            _duplicates(digests),
        )
        if fault is not None
    ]
    causes = tuple(cause for cause, _ in faults)
    return Integrity(
        causes,
        runnable=not any(cause.id == "weights.missing" for cause in causes),
        first_step=faults[0][1] if faults else "",
    )


def _non_finite(captioner: Captioner, finite_outputs: bool) -> tuple[Cause, str] | None:
    bad = []
    if captioner.module is not None:
        bad = [
            name
            for name, tensor in captioner.module.state_dict().items()
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())
        ]
    if not bad and finite_outputs:
        return None
    where = f"weights ({', '.join(bad[:3])})" if bad else "scores"
    evidence = Evidence(
        "tensors with NaN or infinity" if bad else "scores of the next word are finite",
        float(len(bad)) if bad else False,
        0.0 if bad else True,
        "a sound network computes with finite numbers only",
    )
    return (
        Cause("weights.missing", "weights", 1.0, (evidence,)),
        f"Restore a sound checkpoint: the {where} are not finite numbers, so the training diverged "
        "or the file is damaged",
    )


def _silent(usable: int, skipped: Sequence[SkippedClip]) -> tuple[Cause, str] | None:
    silent = sum(clip.reason == "silent" for clip in skipped)
    share = silent / max(1, usable + silent)
    if share < SILENT_SHARE.value:
        return None
    evidence = Evidence("share of silent files", share, SILENT_SHARE.value, SILENT_SHARE.source)
    return (
        Cause("input.silent-audio", "input", 1.0, (evidence,)),
        f"Replace the silent files: {silent} of {usable + silent} hold no sound",
    )


def _duplicates(digests: Sequence[bytes]) -> tuple[Cause, str] | None:
    """Find audio that repeats so much that no captioner could differ on it."""
    if len(digests) < 2:
        return None
    size = min(len(digests), int(JUDGED_AT.value))
    distinct = expected_distinct([(digest.hex(),) for digest in digests], size)
    cut, _ = cuts(size)
    if distinct >= cut:
        return None
    copies = len(digests) - len(Counter(digests))
    evidence = Evidence(
        f"distinct waveforms at N={size}",
        distinct,
        cut,
        "below it even captions that follow the audio would count as repeated",
    )
    return (
        Cause("input.duplicate-audio", "input", 1.0, (evidence,)),
        f"Use different clips: {copies} of {len(digests)} are copies of others, sample by sample",
    )
