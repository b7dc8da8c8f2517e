"""Vocabulary coverage: does the captioner have the words of the captions it was trained on?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from capfix_cli.core.text import split_words
from capfix_cli.core.thresholds import LOST_WORDS_SHARE, WORD_PIECES_SHARE
from capfix_cli.diagnosis.training_data.data_findings import (
    Examined,
    ListedRow,
    confidence,
    data_cause,
    found,
    not_tested,
)
from capfix_cli.diagnosis.training_data.training_file import TrainingSet
from capfix_cli.schemas.measured_values import Evidence

ID = "vocabulary.mismatch"
TITLE = "Does the vocabulary have the captions' words?"
SHOWN_WORDS = 10
PIECE_MARKS = ("\u2581", "\u0120", "##", "</w>", "@@")

# How captions usually become words; the best of them is what training may have used.
WAYS: dict[str, Callable[[str], list[str]]] = {
    "lower case, no punctuation": split_words,
    "as written, no punctuation": lambda text: _plain(text.split()),
    "as written": str.split,
    "lower case": lambda text: text.lower().split(),
    "punctuation as words": lambda text: _apart(text.lower()),
    "upper case, no punctuation": lambda text: [word.upper() for word in split_words(text)],
}


def find_lost_words(data: TrainingSet, vocabulary: Sequence[str] | None) -> Examined:
    """Give the share of the captions' words that the vocabulary lacks, and say why if it can.

    The captions are split in each of the usual ways, and the one that loses least counts. Where
    even it loses many, words that are there but for case or punctuation tell the reason.
    """
    if not vocabulary:
        return not_tested(ID, TITLE, "the captioner's vocabulary"), ()
    pieces = sum(any(mark in entry for mark in PIECE_MARKS) for entry in vocabulary)
    if pieces > WORD_PIECES_SHARE.value * len(vocabulary):
        return not_tested(ID, TITLE, "a vocabulary of words; this one has pieces of words"), ()
    known = set(vocabulary)
    lost = {way: _lost(data.texts, split, known) for way, split in WAYS.items()}
    best = min(lost, key=lambda way: lost[way][0])
    share, missing = lost[best]
    plain = {word for entry in vocabulary for word in split_words(entry)}
    mended = sum(count for word, count in missing.items() if set(split_words(word)) <= plain)
    total = max(1, missing.total())
    evidence = [
        Evidence(
            f"words lost ({best})",
            share,
            LOST_WORDS_SHARE.unit,
            LOST_WORDS_SHARE.value,
            LOST_WORDS_SHARE.source,
        ),
        Evidence(
            "commonest of the lost words",
            ", ".join(f"{word} ({count})" for word, count in missing.most_common(SHOWN_WORDS))
            or "none",
        ),
    ]
    if missing:
        what = "share of the lost words that are there but for case or punctuation"
        evidence.append(Evidence(what, mended / total, "share of the lost words"))
    raw = lost["as written"][0]
    if raw > LOST_WORDS_SHARE.value >= share:
        evidence.append(
            Evidence(
                f"words lost if captions are split as written, not {best}",
                raw,
                LOST_WORDS_SHARE.unit,
            )
        )
    suspect = share > LOST_WORDS_SHARE.value
    rows = _rows(data, WAYS[best], known) if suspect else []
    sure = confidence(share, LOST_WORDS_SHARE.value, 0.5)
    said = f"{share:.0%} of the captions' words are not in the vocabulary"
    if missing and mended / total > 0.5:
        said += ", most of them for case or punctuation alone"
    causes = (data_cause(ID, sure, evidence),) if suspect else ()
    return found(ID, TITLE, suspect=suspect, evidence=evidence, rows=rows, summary=said), causes


def _lost(
    texts: Sequence[str], split: Callable[[str], list[str]], known: set[str]
) -> tuple[float, Counter[str]]:
    counts = Counter(word for text in texts for word in split(text))
    missing = Counter({word: count for word, count in counts.items() if word not in known})
    return missing.total() / max(1, counts.total()), missing


def _plain(words: Sequence[str]) -> list[str]:
    bare = ("".join(ch for ch in word if ch.isalnum() or ch in "'-") for word in words)
    return [word for word in (part.strip("'-") for part in bare) if word]


def _apart(text: str) -> list[str]:
    return "".join(
        ch if ch.isalnum() or ch in "'-" or ch.isspace() else f" {ch} " for ch in text
    ).split()


def _rows(data: TrainingSet, split: Callable[[str], list[str]], known: set[str]) -> list[ListedRow]:
    rows = []
    for name, text in data.pairs:
        words = [word for word in split(text) if word not in known]
        if words:
            rows.append(ListedRow(name, text, f"not in the vocabulary: {', '.join(words[:5])}"))
    return rows
