"""``decoder.undertrained``: it foretells people's words no better than their frequencies do."""

from __future__ import annotations

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.core.thresholds import GUESSED_RIGHT, LISTENING_SHARE
from capfix_cli.diagnosis.causes.cause_spec import CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.finding import (
    Finding,
    against_threshold,
    linear_confidence,
    not_tested,
)
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.schemas.measured_values import Evidence

ID = "decoder.undertrained"


def find(case: DiagnosisContext) -> Finding:
    """Compare the loss on references with that of counts of words and of pairs of words."""
    try:
        found = case.probes.language
    except ProbeFailed as reason:
        return not_tested(ID, reason.needs)
    span = max(1e-6, found.unigram - found.bigram)
    # Being too sure is another fault, so that loss is taken off; being unsure is not knowing.
    loss = found.tempered if found.temperature > 1 else found.loss
    place = (loss - found.bigram) / span  # 0: as pairs of words, 1: as words alone
    evidence = (
        Evidence("loss on references", found.loss, "nats a word", found.bigram, "pairs of words"),
        Evidence("loss on references at the best temperature", found.tempered, "nats a word"),
        Evidence("loss of word frequencies on references", found.unigram, "nats a word"),
        against_threshold("words guessed right on references", found.accuracy, GUESSED_RIGHT),
        Evidence(
            "epochs of training in the checkpoint", case.facts.get("training.epochs"), "epochs"
        ),
    )
    # Whose own captions follow the audio has learnt to write, whatever references say.
    hears = case.own_listening_share >= LISTENING_SHARE.value
    sure_of_itself = found.certainty > 2 * max(found.accuracy, 0.05)
    poor = linear_confidence(place, -0.1, 0.3)
    return Finding(
        ID,
        poor if case.deaf and not hears and not sure_of_itself else 0.0,
        evidence,
    )


CAUSE = CauseSpec(
    id=ID,
    order=70,
    find=find,
    needs=("language",),
    explains=(
        *("conditioning.*", "encoder.*", "training.exposure-bias"),
        *("decoder.overconfident", "decoder.prefix-blind"),
    ),
    mend="Train longer, until the loss on other clips' captions stops falling",
    located=True,
    decided_by=(
        "give --train-captions and --train-audio, which show whether the training pairs fit;"
        " else run the recipe, whose control shows what training alone does"
    ),
    docs=CauseDocs(
        symptom="one caption; trained briefly.",
        experiment=(
            "loss on references against counts of words and of pairs of words, each clip's own "
            "references left out."
        ),
        read="no better than pairs of words: it has not learnt to write. Needs `--references`.",
        mend="train longer; the control run beside a recipe shows whether that is enough.",
        sources="SCIENCE section 4.",
    ),
)
