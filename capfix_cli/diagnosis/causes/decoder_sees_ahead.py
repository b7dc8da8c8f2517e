"""``decoder.sees-ahead``: earlier places see later words, and the decoder was trained on that."""

from __future__ import annotations

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.core.thresholds import BATCH_TOLERANCE, OFF_NATS
from capfix_cli.diagnosis.causes.cause_spec import DECODER, CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.finding import Finding, against_threshold, not_tested
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.schemas.measured_values import Evidence

ID = "decoder.sees-ahead"


def find(case: DiagnosisContext) -> Finding:
    """Exchange the last word of a prefix, and look at the places before it."""
    if not case.finite:
        return not_tested(ID, "scores that are finite numbers")
    try:
        found = case.probes.ahead
    except ProbeFailed as reason:
        return not_tested(ID, reason.needs)
    evidence = [
        Evidence("layer whose earlier places move with a later word", found.layer or "none"),
        against_threshold("how far they move", found.moved, BATCH_TOLERANCE),
    ]
    lives_on_it = False
    if found.peeking is not None:
        evidence += [
            Evidence("loss on references, all words given at once", found.peeking, "nats a word"),
            Evidence(
                "loss on references, word by word, as captions are made",
                found.stepping,
                "nats a word",
            ),
        ]
        lives_on_it = found.peeking < found.stepping - OFF_NATS.value
    sees = bool(found.layer) and case.ill
    sure = 0.95 if lives_on_it else 0.5
    return Finding(ID, sure if sees else 0.0, tuple(evidence), proved=lives_on_it)


CAUSE = CauseSpec(
    id=ID,
    order=118,
    gate=True,
    find=find,
    needs=("ahead",),
    explains=(*DECODER, "decoder.*", "conditioning.*", "vocabulary.*"),
    mend=(
        "Train again with a causal mask: the decoder saw the words that it was to foretell, and no"
        " decoding can mend that"
    ),
    decided_by="give --references: a decoder that lives on later words loses them word by word",
    docs=CauseDocs(
        symptom="a training loss near nought, and captions of one word over and over.",
        experiment=(
            "the last word of a prefix is exchanged: no place before it may move. Then the loss on "
            "references with all words given at once is held against that word by word."
        ),
        read="a decoder that was trained so knows words far better when it sees them.",
        mend="`tgt_mask=nn.Transformer.generate_square_subsequent_mask(T)`, or `is_causal=True`.",
        sources="public threads (SCIENCE section 8).",
    ),
)
