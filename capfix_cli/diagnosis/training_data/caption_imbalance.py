"""Imbalance: does one caption, or one sound, fill so much of the training file that it pays off?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from capfix_cli.core.randomness import stream
from capfix_cli.core.thresholds import (
    ENGLISH_SHARE,
    JUDGED_AT,
    MIN_CLIPS,
    TRAINING_EVENNESS_AT_100,
    TRAINING_WORD_SHARE,
)
from capfix_cli.diagnosis.causes.finding import against_threshold
from capfix_cli.diagnosis.training_data.content_words import (
    is_english,
    specific_words,
    stem,
    words_of,
)
from capfix_cli.diagnosis.training_data.data_findings import (
    Examined,
    ListedRow,
    confidence,
    data_cause,
    found,
    not_tested,
)
from capfix_cli.diagnosis.training_data.training_file import TrainingSet
from capfix_cli.measures.measure_table import caption_counts, expected_entropy
from capfix_cli.schemas.measured_values import Evidence

ID = "data.imbalanced"
TITLE = "Do a few captions or sounds fill the training file?"
DRAWS = 50  # subsamples behind the expected number of kinds of caption


def find_imbalance(data: TrainingSet, seed: int = 0) -> Examined:
    """Say whether favourites fill the file: kinds of caption, and the sounds that they name.

    Captions are the same where their words are. Their evenness is the entropy over the log of
    their number, so a closed world of few captions, each as common as the next, is even; it
    falls with N, so it is taken at the same N = 100 as that of people's files.
    """
    texts = data.texts
    if len(texts) < MIN_CLIPS.value:
        return not_tested(ID, TITLE, f"{MIN_CLIPS.value:g} captions; it has {len(texts)}"), ()
    kinds = Counter(words_of(text) for text in texts)
    favourite, times = kinds.most_common(1)[0]
    even, size = caption_evenness(texts, seed)
    captions = against_threshold(
        f"evenness of captions among {size}", even, TRAINING_EVENNESS_AT_100
    )
    evidence = [
        captions,
        Evidence(
            f"the commonest caption, {' '.join(favourite)!r}",
            times / len(texts),
            "share of captions",
        ),
        Evidence(
            "the ten commonest captions",
            sum(count for _, count in kinds.most_common(10)) / len(texts),
            "share of captions",
        ),
    ]
    repeated = even < TRAINING_EVENNESS_AT_100.value
    sure = confidence(even, TRAINING_EVENNESS_AT_100.value, 0.5) if repeated else 0.0
    word, share = "", 0.0
    if is_english(texts, ENGLISH_SHARE.value):
        word, share, evenness = _sounds(texts)
        evidence += [
            against_threshold(
                f"captions with the commonest word of sound, {word!r}", share, TRAINING_WORD_SHARE
            ),
            Evidence(
                "evenness of words of sound in all captions",
                evenness,
                "entropy over the log of the kinds of word",
            ),
        ]
    else:
        evidence.append(Evidence("words of sound", "not tested: the captions are not English"))
    one_sound = share > TRAINING_WORD_SHARE.value
    if one_sound:
        sure = max(sure, confidence(share, TRAINING_WORD_SHARE.value, 1.0))
    rows = _rows(data, kinds, repeated, word if one_sound and not repeated else "")
    said = (
        f"{times / len(texts):.0%} of the captions are {' '.join(favourite)!r}"
        if repeated
        else f"{share:.0%} of the captions have {word!r}"
    )
    finding = found(
        ID, TITLE, suspect=repeated or one_sound, evidence=evidence, rows=rows, summary=said
    )
    return finding, ((data_cause(ID, sure, evidence),) if repeated or one_sound else ())


def caption_evenness(texts: Sequence[str], seed: int = 0) -> tuple[float, int]:
    """Give entropy / log(kinds) of captions among N = 100 of them, or all if fewer, and that N.

    The entropy is the exact mean over all subsets; the number of kinds that its log is taken of
    is the mean over 50 subsets.

    >>> caption_evenness(["a dog barks", "rain falls"] * 50)
    (1.0, 100)
    """
    said = caption_counts(texts)
    total = int(said.sum())
    size = min(total, int(JUDGED_AT.value))
    bits = expected_entropy(said, size) * math.log2(size)
    generator = stream(seed, "imbalance.draws", total)
    owners = np.repeat(np.arange(len(said)), said)
    kinds = [
        len(np.unique(owners[generator.choice(total, size, replace=False)])) for _ in range(DRAWS)
    ]
    most = float(np.mean(np.log2(kinds)))
    return (min(1.0, round(bits / most, 12)) if most > 0 else 0.0), size


def _sounds(texts: Sequence[str]) -> tuple[str, float, float]:
    """Give the word that most captions share, their share, and the evenness of all such words.

    Words that name something are counted once a caption, endings cut.
    """
    counts: Counter[str] = Counter()
    shown: dict[str, str] = {}
    for text in texts:
        stems = {stem(word): word for word in specific_words(text)}
        counts.update(stems.keys())
        for short, word in stems.items():
            shown.setdefault(short, word)
    if not counts:
        return "", 0.0, 0.0
    top, times = counts.most_common(1)[0]
    shares = np.array(list(counts.values())) / counts.total()
    even = float(-(shares * np.log(shares)).sum() / math.log(len(shares))) if len(shares) > 1 else 0
    return shown[top], times / len(texts), even


def _rows(
    data: TrainingSet, kinds: Counter[tuple[str, ...]], repeated: bool, word: str
) -> list[ListedRow]:
    """List the captions that fill the file: said over and over, or with the favourite sound."""
    rows = []
    if repeated:
        many = max(2, len(data.texts) // 50)
        common = {words: count for words, count in kinds.most_common(10) if count >= many}
        for name, text in data.pairs:
            count = common.get(words_of(text))
            if count is not None:
                rows.append(ListedRow(name, text, f"said {count} times in the file"))
    elif word:
        short = stem(word)
        rows = [
            ListedRow(name, text, f"names the favourite sound, {word!r}")
            for name, text in data.pairs
            if short in {stem(other) for other in specific_words(text)}
        ]
    return rows
