"""``vocabulary.mismatch``: the word list is not the one that training had."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.core.thresholds import GUESSED_RIGHT, LISTENING_SHARE, OFF_NATS, WORDS_UNKNOWN
from capfix_cli.diagnosis.causes.cause_spec import DECODER, CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.finding import (
    Finding,
    against_threshold,
    not_tested,
)
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.diagnosis.repairs.repair import Repair
from capfix_cli.probes.captioner_variants import derive
from capfix_cli.schemas.measured_values import Evidence

ID = "vocabulary.mismatch"


def find(case: DiagnosisContext) -> Finding:
    """Compare sizes, then hold the words to references: moved by a few places, or not at all."""
    try:
        width = case.probes.output_width
    except ProbeFailed as reason:
        return not_tested(ID, reason.needs)
    listed = len(case.captioner.vocabulary)
    sizes = Evidence(
        "words in the vocabulary",
        float(listed),
        "words",
        float(width),
        "scores that the decoder gives a step",
    )
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
        against_threshold("words of the references that are unknown", found.unknown, WORDS_UNKNOWN),
        against_threshold("words guessed right on references", found.accuracy, GUESSED_RIGHT),
        Evidence(
            "loss on references", found.loss, "nats a word", found.unigram, "word frequencies"
        ),
        against_threshold(f"what moving the ids by {shift} gains", gain, OFF_NATS),
    )
    if shift and gain > OFF_NATS.value and loss < found.unigram:
        return Finding(ID, 1.0, evidence, mend=_mend(f"the words are {abs(shift)} place(s) off"))
    # It knows what it says, it hears, and what it says are not these words.
    scrambled = (
        found.accuracy < GUESSED_RIGHT.value * max(1.0, 4 * found.certainty)
        and found.loss > found.unigram + OFF_NATS.value
        and case.own_listening_share >= LISTENING_SHARE.value
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


def _other_words(case: DiagnosisContext, checkpoint: str) -> Iterator[Repair]:
    """Move the words by the places that fit best; where that does not mend it, match them."""
    captioner = case.captioner
    known = case.probes.language
    shift, loss = known.shift
    if shift and known.loss - loss > OFF_NATS.value:
        special = {captioner.bos_id, captioner.eos_id, captioner.pad_id, captioner.unk_id}
        moved = shift_words(captioner.vocabulary, shift, special)
        changed = derive(captioner, vocabulary=moved)
        changed.__dict__.pop("_words", None)
        yield Repair(
            ID,
            f"words moved by {shift}",
            f"vocabulary = shift the words by {shift}: special tokens are missing or too many",
            changed,
        )
    yield from _matched_words(case)


def _matched_words(case: DiagnosisContext) -> Iterator[Repair]:
    """Name tokens by the words that references say of the same clips."""
    from capfix_cli.probes.word_matching import match_words

    references, captioner = case.references, case.captioner
    if references is None or not _lists_words(case):
        return
    sample = set(case.probes.sample.names)
    captions = [c for c in case.clips.captions if c.file_name in sample]
    listed = match_words(captioner, captions, references)
    if listed is None:
        return
    moved = [place for place, word in enumerate(listed) if word != captioner.vocabulary[place]]
    if not moved:
        return
    changed = derive(captioner, vocabulary=listed)
    changed.__dict__.pop("_words", None)
    first = moved[0]
    yield Repair(
        ID,
        f"{len(moved)} tokens named by what references say of the same clips",
        f"give the word list of training: token {first} is {listed[first]!r} and not"
        f" {captioner.vocabulary[first]!r}, and {len(moved) - 1} more",
        changed,
        searched=case.probes.sample.names,
    )


def shift_words(words: Sequence[str], shift: int, keep: Collection[int | None]) -> list[str]:
    """Move words by some places; those that fall out take the places that are left free.

    >>> shift_words(["<eos>", "b", "c", "d", "a"], 1, {0})
    ['<eos>', 'a', 'b', 'c', 'd']
    """
    moved: list[str | None] = [word if place in keep else None for place, word in enumerate(words)]
    out = []
    for place, word in enumerate(words):
        if place in keep:
            continue
        if 0 <= place + shift < len(moved) and place + shift not in keep:
            moved[place + shift] = word
        else:
            out.append(word)
    waiting = iter(out)
    return [next(waiting) if word is None else word for word in moved]


CAUSE = CauseSpec(
    id=ID,
    order=100,
    gate=True,
    find=find,
    needs=("language",),
    explains=(*DECODER, "vocabulary.special-tokens"),
    mend="Give the word list of training, special tokens in their places",
    repair=_other_words,
    data_first="Use a vocabulary that has the training captions' words",
    docs=CauseDocs(
        symptom="fluent captions, wrong words, though it listens.",
        experiment=(
            "words against scores a step; loss on references with all ids moved by up to four "
            "places; words guessed right against how sure the decoder is."
        ),
        read=(
            "a lower loss at a shift proves a list that lacks a special token. Right on few words, "
            "sure of itself and listening on its own captions: another list. With "
            "`--train-captions`, words that it lost."
        ),
        mend="the list of training. A shift is applied and re-measured.",
        sources="SCIENCE section 5.",
    ),
)
