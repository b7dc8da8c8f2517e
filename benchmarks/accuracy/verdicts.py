"""How often verdicts on published outputs are right, whole and subsampled.

    python -m benchmarks.accuracy.verdicts CAPTIONS_FOLDER

Prints, as a table for docs/measures.md, the share of right verdicts over seeds at each number of
clips, with the references and (where the case can be told without listening) without.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from capfix_cli.captions.caption_layouts import read_captions
from capfix_cli.diagnosis.captions_verdict import judge_captions, listen_by_references
from capfix_cli.measures.measure_table import judge_diversity

SIZES = (50, 100, 200, 400)
SEEDS = 20
FAVOURED = 0.9  # share of captions replaced by the commonest one


@dataclass(frozen=True)
class Case:
    """Captions with the verdict they deserve.

    Attributes:
        name: in words.
        verdict: the right one.
        captions: one a clip.
        references: of each clip.
        audible: whether it takes references to see what is wrong.
    """

    name: str
    verdict: str
    captions: Sequence[str]
    references: Sequence[Sequence[str]]
    audible: bool = False


SOURCES = (
    ("aac_metrics_example_1", "collapsed"),
    ("aac_metrics_example_2", "healthy"),
    ("conette_audiocaps_test", "healthy"),
    ("whisper_aac_audiocaps_test_greedy", "healthy"),
    ("audiocaps_val_human", "healthy"),
    ("audiocaps_test_human", "healthy"),
)
SHUFFLED = ("aac_metrics_example_2", "conette_audiocaps_test", "audiocaps_test_human")


def cases(folder: Path) -> Iterator[Case]:
    """Give the published outputs, some shuffled against their clips, and a made collapse."""
    for name, verdict in SOURCES:
        table = read_captions(folder / f"{name}.csv")
        texts = [caption.text for caption in table.captions]
        yield Case(name, verdict, texts, table.references)
        if name in SHUFFLED:
            order = np.random.default_rng(1).permutation(len(texts)).tolist()
            moved = [texts[place] for place in order]
            yield Case(f"{name}, shuffled", "ungrounded", moved, table.references, True)
        if name.startswith("conette"):
            common = Counter(texts).most_common(1)[0][0]
            replaced = np.random.default_rng(1).random(len(texts)) < FAVOURED
            same = [common if gone else text for gone, text in zip(replaced, texts, strict=True)]
            yield Case(f"{name}, 90 % replaced", "collapsed", same, table.references)


def verdict(case: Case, index: Sequence[int], seed: int, *, with_references: bool) -> str:
    """Judge some clips of a case."""
    texts = [case.captions[place] for place in index]
    people = [case.references[place] for place in index] if with_references else None
    heard = listen_by_references(texts, people, seed) if people is not None else None
    listening = heard[0] if heard is not None else None
    return judge_captions(judge_diversity(texts, people, seed), listening).verdict


def accuracy(case: Case, size: int, seeds: int, *, with_references: bool) -> float:
    """Share of right verdicts over subsamples of ``size`` clips."""
    right = 0
    for seed in range(seeds):
        index = np.random.default_rng([seed, size]).permutation(len(case.captions))[:size]
        found = verdict(case, index.tolist(), seed, with_references=with_references)
        right += found == case.verdict
    return right / seeds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds the published outputs as CSV")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    given = parser.parse_args()
    print(f"| captions | right verdict | whole | {' | '.join(f'N={size}' for size in SIZES)} |")
    print(f"|---|---|---|{'---|' * len(SIZES)}")
    for case in cases(given.folder):
        for with_references in (True, False):
            if case.audible and not with_references:
                continue
            index = range(len(case.captions))
            whole = verdict(case, index, 0, with_references=with_references)
            shares = [
                f"{100 * accuracy(case, size, given.seeds, with_references=with_references):.0f} %"
                for size in SIZES
            ]
            kind = "with references" if with_references else "without"
            print(f"| {case.name}, {kind} | {case.verdict} | {whole} | {' | '.join(shares)} |")


if __name__ == "__main__":
    main()
