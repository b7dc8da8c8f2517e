"""``evaluation.padding``: zeros behind a clip move its caption."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.captioners.base import Captioner, Memory
from capfix_cli.core.thresholds import MOVED, MOVED_NATS
from capfix_cli.diagnosis.causes.cause_spec import FRONT_END, MODEL, CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.finding import (
    Finding,
    against_threshold,
    linear_confidence,
    not_tested,
)
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.diagnosis.repairs.repair import Repair, one_by_one
from capfix_cli.probes.captioner_variants import derive
from capfix_cli.schemas.measured_values import Evidence

if TYPE_CHECKING:
    from torch import Tensor

ID = "evaluation.padding"


def find(case: DiagnosisContext) -> Finding:
    """Encode clips of this folder together, padded to the longest, and one by one."""
    try:
        found = case.probes.invariance
    except ProbeFailed as reason:
        return not_tested(ID, reason.needs)
    if found.repeat > MOVED_NATS.value:
        return not_tested(ID, "a captioner that answers the same twice")
    # What padding does where nothing of this folder is padded explains nothing here.
    moved = found.here
    share = moved / max(found.clip, moved, MOVED_NATS.value)
    evidence = (
        against_threshold("how far padding moves the next word", share, MOVED),
        Evidence("how far padding as in this folder moves the next word", moved, "nats"),
        Evidence("how far padding by half a clip moves the next word", found.padded, "nats"),
        Evidence("how far another clip moves the next word", found.clip, "nats"),
    )
    return Finding(
        ID,
        linear_confidence(share, 0.0, 2 * MOVED.value) if moved > MOVED_NATS.value else 0.0,
        evidence,
        # Where nothing is wrong with the captions there is nothing that a mend could restore: the
        # test itself is then all there is to show.
        proved=not case.ill,
    )


def _repadded(case: DiagnosisContext, checkpoint: str) -> Iterator[Repair]:
    """Pad in front where that is what the captioner does not hear; else, or if that fails, not."""
    captioner = case.captioner
    found = case.probes.invariance
    if found.in_front is not None and found.in_front <= MOVED.value * found.clip:

        def encode(self: Captioner, waveforms: Tensor, lengths: Tensor) -> Memory:
            import torch

            size = waveforms.shape[1]
            rows = [
                row.roll(size - int(n), dims=0) for row, n in zip(waveforms, lengths, strict=True)
            ]
            return captioner.encode(torch.stack(rows), torch.full_like(lengths, size))

        yield Repair(
            ID,
            "padding in front of the clips",
            "pad on the left, as training did: padding_side='left'",
            derive(captioner, encode=encode),
        )
    yield from one_by_one(ID)(case, checkpoint)


CAUSE = CauseSpec(
    id=ID,
    order=70,
    gate=True,
    find=find,
    needs=("invariance",),
    explains=(*MODEL, *FRONT_END),
    mend=(
        "Mask the padding by the clips' lengths in every layer that mixes frames; until then "
        "evaluate clips one by one (--batch-size 1)"
    ),
    repair=_repadded,
    docs=CauseDocs(
        symptom="short clips beside long ones get each other's captions.",
        experiment=(
            "clips of the folder are encoded together, padded to the longest, and one by one."
        ),
        mend=(
            "mask by lengths; meanwhile padding in front, which is tried where zeros there move "
            "nothing, or one by one."
        ),
        sources=(
            "SCIENCE section 4: a published model moved more by padding than by changing the clip."
        ),
    ),
)
