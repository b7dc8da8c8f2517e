"""``vocabulary.mismatch``: the word list is not the one that training had."""

from __future__ import annotations

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.core.thresholds import GUESSED_RIGHT, LISTENING_SHARE, OFF_NATS, WORDS_UNKNOWN
from capfix_cli.diagnosis.causes.finding import (
    DiagnosisContext,
    Finding,
    against_threshold,
    not_tested,
)
from capfix_cli.schemas.records import Evidence

ID = "vocabulary.mismatch"


def find(case: DiagnosisContext) -> Finding:
    """Compare sizes, then hold the words to references: moved by a few places, or not at all."""
    try:
        width = case.probes.output_width
    except ProbeFailed as reason:
        return not_tested(ID, reason.needs)
    listed = len(case.captioner.vocabulary)
    sizes = Evidence("words in the list", float(listed), float(width), "scores a step")
    if listed != width and _lists_words(case):
        off = 1.0 if listed < width else 0.6
        return Finding(ID, off, (sizes,), mend=_mend(f"{listed} words for {width} scores"))
    for cause in case.training or ():
        if cause.id == ID:  # words of the training captions that the list lacks
            return Finding(ID, cause.confidence, cause.evidence, mend=_mend("words are lost"))
    try:
        found = case.probes.language
    except ProbeFailed as reason:
        return not_tested(ID, reason.needs)
    shift, loss = found.shift
    gain = found.loss - loss
    evidence = (
        sizes,
        against_threshold(
            "share of the references' words that are unknown", found.unknown, WORDS_UNKNOWN
        ),
        against_threshold(
            "share of words guessed right on references", found.accuracy, GUESSED_RIGHT
        ),
        Evidence("loss on references, nats a word", found.loss, found.unigram, "word frequencies"),
        against_threshold(f"what moving the ids by {shift} gains", gain, OFF_NATS),
    )
    if shift and gain > OFF_NATS.value and loss < found.unigram:
        return Finding(ID, 1.0, evidence, mend=_mend(f"the words are {abs(shift)} place(s) off"))
    # It knows what it says, it hears, and what it says are not these words.
    scrambled = (
        found.accuracy < GUESSED_RIGHT.value * max(1.0, 4 * found.certainty)
        and found.loss > found.unigram + OFF_NATS.value
        and case.heard_by_itself >= LISTENING_SHARE.value
    )
    # Where the training captions are known to be spelled by the list, the references are at fault.
    unknown = found.unknown > WORDS_UNKNOWN.value and case.training is None
    sure = 0.9 if scrambled else 0.6 if unknown else 0.0
    return Finding(ID, sure, evidence, mend=_mend("its words are not those of the references"))


def _lists_words(case: DiagnosisContext) -> bool:
    """A tokenizer need not list as many words as the padded output has."""
    from capfix_cli.captioners.base import Captioner

    return type(case.captioner).detokenize is Captioner.detokenize


def _mend(why: str) -> str:
    return f"Give the word list of training, special tokens in their places: {why}"
