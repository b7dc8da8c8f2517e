"""Two files of captions on the clips that both have, tested in pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from capfix_cli.core.text import split_words
from capfix_cli.measures.measure_table import caption_counts, expected_distinct, expected_entropy
from capfix_cli.measures.paired_comparison import paired_means, paired_statistic
from capfix_cli.schemas.measurement import Comparison, Difference, MeasuredFile


@dataclass(frozen=True)
class Judged:
    """A file's result, and what pairing it with another needs."""

    file: MeasuredFile
    texts: dict[str, str]
    held: dict[str, tuple[float, float]]  # clip -> (CIDEr-D, probability that it is found)


def compare(first: Judged, second: Judged, shared: Sequence[str], seed: int) -> Comparison:
    """Test the second file against the first on the clips that both have.

    Args:
        first: the one that is compared with.
        second: the other.
        shared: clips that both have.
        seed: of the draws.
    """
    texts = [[each.texts[name] for name in shared] for each in (first, second)]
    statistics: dict[str, Callable[[Sequence[str]], float]] = {
        "distinct_captions": _distinct,
        "caption_entropy": _entropy,
        "vocabulary": lambda some: float(len({w for text in some for w in split_words(text)})),
    }
    differences: dict[str, Difference] = {
        name: paired_statistic(texts[0], texts[1], function, seed)
        for name, function in statistics.items()
    }
    lengths = [np.array([len(split_words(text)) for text in some], float) for some in texts]
    differences["length"] = paired_means(lengths[0], lengths[1], seed)
    both = [name for name in shared if name in first.held and name in second.held]
    if len(both) >= 2:
        for place, name in enumerate(("cider_d", "identification")):
            values = [
                np.array([each.held[clip][place] for clip in both]) for each in (first, second)
            ]
            differences[name] = paired_means(values[0], values[1], seed)
    return Comparison(first.file.path, second.file.path, len(shared), differences)


def _distinct(texts: Sequence[str]) -> float:
    return expected_distinct(caption_counts(texts), len(texts))


def _entropy(texts: Sequence[str]) -> float:
    return expected_entropy(caption_counts(texts), len(texts))
