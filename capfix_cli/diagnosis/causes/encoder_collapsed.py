"""``encoder.collapsed``: the memory is the same for all clips, the features are not."""

from __future__ import annotations

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.core.thresholds import MEMORY_SHARE
from capfix_cli.diagnosis.causes.cause_spec import DECODER, CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.finding import (
    Finding,
    against_threshold,
    linear_confidence,
    not_tested,
)
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.schemas.measured_values import Evidence

ID = "encoder.collapsed"


def find(case: DiagnosisContext) -> Finding:
    """Compare the memory's differences between clips with the features' own."""
    try:
        found = case.probes.geometry
    except ProbeFailed as reason:
        return not_tested(ID, reason.needs)
    evidence = [
        against_threshold(
            "what differs from clip to clip in the memory", found.memory.share, MEMORY_SHARE
        ),
        Evidence("cosine of the memories of two clips", found.memory.cosine, "cosine"),
        Evidence(
            "cosine of the memories of two clips, their mean taken away",
            found.memory.centred,
            "cosine",
        ),
        Evidence("effective rank of the memory (RankMe)", found.memory.rank, "directions"),
    ]
    if found.features is not None:
        evidence += [
            Evidence(
                "what differs from clip to clip in the features",
                found.features.share,
                "share of their variation",
            ),
            Evidence("effective rank of the features (RankMe)", found.features.rank, "directions"),
        ]
    low = linear_confidence(found.memory.share, 2 * MEMORY_SHARE.value, MEMORY_SHARE.value / 2)
    return Finding(
        ID,
        low if case.deaf else 0.0,
        tuple(evidence),
    )


CAUSE = CauseSpec(
    id=ID,
    order=10,
    find=find,
    needs=("geometry",),
    explains=("conditioning.*", *DECODER, "encoder.time-pooling"),
    mend="Retrain the encoder: its output is one vector for all clips (fixes 2.1, 2.4, 2.6)",
    located=True,
    decided_by=(
        "give --train-captions and --train-audio, which show whether the training pairs fit;"
        " else run the recipe, whose control shows what training alone does"
    ),
    accounts_for=("differ", "decides"),
    docs=CauseDocs(
        symptom="one caption; every memory looks alike.",
        experiment=(
            "between-clip share, pairwise cosine (raw and centred) and RankMe of memories, beside "
            "those of the features."
        ),
        read=(
            "a cosine of .99 alone says nothing: centre it. The share decides: sound memories are "
            "above .05."
        ),
        mend="fixes 2.1, 2.4, 2.6.",
        sources="RankMe, arXiv 2210.02885.",
    ),
)
