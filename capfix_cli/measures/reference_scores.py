"""CIDEr-D and BLEU of a file, with intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from capfix_cli.core.randomness import stream
from capfix_cli.core.text import split_words
from capfix_cli.measures.intervals import BOOTSTRAPS, bootstrap_interval
from capfix_cli.measures.reference_bleu import bleu, bleu_statistics
from capfix_cli.measures.reference_listening import OwnAndShuffled
from capfix_cli.measures.signature import signature
from capfix_cli.schemas.measured_values import Measure


def score_on_references(
    captions: Sequence[str],
    references: Sequence[Sequence[str]],
    held: OwnAndShuffled | None,
    seed: int,
) -> dict[str, Measure]:
    """Compute CIDEr-D and BLEU, with intervals that re-sum the captions' own statistics.

    Args:
        captions: one a clip.
        references: for each of them, at least one.
        held: CIDEr-D of each on own and shuffled references, where it was computed.
        seed: of the bootstrap.
    """
    statistics = bleu_statistics(
        [split_words(text) for text in captions],
        [[split_words(text) for text in texts] for texts in references],
    )
    value = bleu(statistics.sum(axis=0))
    generator = stream(seed, "bleu.bootstrap", len(captions))
    total = len(captions)
    drawn = np.stack(
        [
            bleu(statistics[generator.integers(0, total, total)].sum(axis=0))
            for _ in range(BOOTSTRAPS)
        ]
    )
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    table: dict[str, Measure] = {}
    if held is not None:
        for name, scores in (("cider_d", held.own), ("cider_d_shuffled", held.shuffled)):
            source = signature(name, total, seed, n=4, sigma=6, bootstraps=BOOTSTRAPS)
            interval = bootstrap_interval(scores, seed)
            table[name] = Measure(float(scores.mean()), *interval, source=source)
    for n in range(4):
        name = f"bleu_{n + 1}"
        source = signature(name, total, seed, n=n + 1, length="closest", bootstraps=BOOTSTRAPS)
        table[name] = Measure(float(value[n]), float(low[n]), float(high[n]), source=source)
    return table
