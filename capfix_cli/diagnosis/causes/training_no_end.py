"""``training.no-end``: the end token was never a target, so that nothing ends."""

from __future__ import annotations

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.core.thresholds import END_LIKELY, ENDLESS, NEVER_ENDS, OFF_NATS
from capfix_cli.diagnosis.causes.cause_spec import CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.finding import Finding, against_threshold, not_tested
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.schemas.measured_values import Evidence

ID = "training.no-end"


def find(case: DiagnosisContext) -> Finding:
    """Look at the end token where references end, in a decoder that knows their words."""
    if not case.finite:
        return not_tested(ID, "scores that are finite numbers")
    try:
        ends, language = case.probes.endings, case.probes.language
    except ProbeFailed as reason:
        return not_tested(ID, reason.needs)
    rival, likely = language.rival
    evidence = (
        against_threshold("captions that never end", ends.endless, ENDLESS),
        against_threshold(
            "probability of the end token where references end", language.end, NEVER_ENDS
        ),
        Evidence(
            f"probability there of the likeliest token, {case.captioner.vocabulary[rival]!r}",
            likely,
            "probability",
        ),
        Evidence(
            "loss on references", language.loss, "nats a word", language.unigram, "word frequencies"
        ),
    )
    # One token that nearly always comes there instead is another end token, not a missing one.
    instead = likely > 1 - END_LIKELY.value
    # The ends themselves cost much: what it knows of the words shows before them.
    knows = min(language.tempered, language.early) < language.unigram - OFF_NATS.value
    missing = ends.endless >= ENDLESS.value and language.end < NEVER_ENDS.value
    return Finding(ID, 0.95 if missing and knows and not instead else 0.0, evidence, proved=True)


CAUSE = CauseSpec(
    id=ID,
    order=114,
    gate=True,
    find=find,
    needs=("endings", "language"),
    explains=("training.exposure-bias", "vocabulary.special-tokens", "decoder.*"),
    mend=(
        "Train again with the end token at the end of every target: append it, and do not let the"
        " loss ignore it (pad_token_id must not be eos_token_id)"
    ),
    accounts_for=("differ", "sentences"),
    docs=CauseDocs(
        symptom="captions begin well and never end.",
        experiment="the probability of the end token at the places where references end.",
        read=(
            "a decoder that knows people's words and gives the end token less than a hundredth "
            "there was never shown one. Needs `--references`."
        ),
        mend="append the end token to every target, and mask padding by length and not by id.",
        sources="public threads (SCIENCE section 8).",
    ),
)
