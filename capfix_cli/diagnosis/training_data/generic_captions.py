"""Generic captions: those that would be true of nearly any clip, "a sound is playing"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from capfix_cli.core.thresholds import (
    ENGLISH_SHARE,
    EVERYWHERE_SHARE,
    GENERIC_SHARE,
    MIN_CLIPS,
)
from capfix_cli.diagnosis.training_data.content_words import is_english, specific_words, words_of
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

ID = "data.generic-captions"
TITLE = "Do captions say something about their clip?"


def words_everywhere(texts: Sequence[str]) -> frozenset[str]:
    """Find the words that more than half of the distinct captions have: they tell nothing apart.

    Distinct ones, so that a favourite caption does not make its own words common: that is
    imbalance, another fault with another mend.
    """
    kinds = {frozenset(words_of(text)) for text in texts}
    if len(kinds) < MIN_CLIPS.value:
        return frozenset()
    counts = Counter(word for words in kinds for word in words)
    most = EVERYWHERE_SHARE.value * len(kinds)
    return frozenset(word for word, count in counts.items() if count > most)


def find_generic(data: TrainingSet) -> Examined:
    """List captions without one word that says something of their clip, and judge their share."""
    texts = data.texts
    if len(texts) < MIN_CLIPS.value:
        return not_tested(ID, TITLE, f"{MIN_CLIPS.value:g} captions; it has {len(texts)}"), ()
    if not is_english(texts, ENGLISH_SHARE.value):
        return not_tested(ID, TITLE, "captions in English: vague words are known for it alone"), ()
    common = words_everywhere(texts)
    rows = [
        ListedRow(name, text, "names nothing that is heard")
        for name, text in data.pairs
        if not specific_words(text, common)
    ]
    share = len(rows) / len(texts)
    evidence = [
        Evidence(
            "captions without a specific word",
            share,
            GENERIC_SHARE.unit,
            GENERIC_SHARE.value,
            GENERIC_SHARE.source,
        ),
    ]
    if rows:
        said = Counter(" ".join(words_of(row.caption)) for row in rows)
        text, times = said.most_common(1)[0]
        evidence.append(Evidence(f"the commonest of them, {text!r}", f"{times} times"))
    suspect = share > GENERIC_SHARE.value
    sure = confidence(share, GENERIC_SHARE.value, 0.5)
    causes = (data_cause(ID, sure, evidence),) if suspect else ()
    summary = f"{share:.0%} of the captions name nothing that is heard"
    return found(ID, TITLE, suspect=suspect, evidence=evidence, rows=rows, summary=summary), causes
