"""Write the corridors: what healthy captioners and people reach at each number of captions.

    python -m benchmarks.calibration.corridors CAPTIONS_FOLDER

Each published output is subsampled at each size over many seeds. A system's range is the 2.5th to
97.5th percentile of its draws; a corridor is the hull of the ranges of all healthy systems and
people, widened by the literature's figures. Writes
``capfix_cli/measures/reference_ranges.json`` and ``docs/corridors.svg``.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.calibration import bands
from capfix_cli.captions.caption_layouts import CaptionTable, read_captions
from capfix_cli.core.text import split_words
from capfix_cli.measures.measure_table import measure_captions
from capfix_cli.measures.reference_bleu import bleu, bleu_statistics
from capfix_cli.measures.reference_listening import own_and_shuffled
from capfix_cli.measures.reference_ranges import SCHEMA

ROOT = Path(__file__).parents[2]
SIZES = (20, 50, 100, 200, 400, 800)
WHOLE = 1000  # stands for the whole files, of 885 to 1045 captions
SEEDS = 20
SYSTEMS = {
    "aac_metrics_example_2": "a sound captioner, published with aac-metrics (MIT)",
    "conette_audiocaps_test": "CoNeTTE on AudioCaps, of conette-audio-captioning (MIT)",
    "whisper_aac_audiocaps_test_greedy": "a Whisper captioner, of prompteus/audio-captioning (MIT)",
}
PEOPLE = {
    "audiocaps_val_human": "AudioCaps validation, people (MIT)",
    "audiocaps_test_human": "AudioCaps test, people (MIT)",
}
COLLAPSED = {"aac_metrics_example_1": "a collapsed captioner, published with aac-metrics (MIT)"}
UNUSED = ("logprob_per_token", "no_end")
# Figures of other published outputs: (group, who, node, measures).
LITERATURE: tuple[tuple[str, str, int, dict[str, float]], ...] = (
    (
        *("people", "Clotho evaluation, people, N=1045", WHOLE),
        {
            **{"vocabulary": 1823, "distinct_captions": 1.0, "distinct_1": 0.154},
            **{"distinct_2": 0.589, "self_bleu_4": 0.253, "cider_d": 0.906},
        },
    ),
    (
        *("systems", "CoNeTTE on Clotho, N=1045", WHOLE),
        {
            **{"vocabulary": 636, "distinct_captions": 0.724, "distinct_1": 0.057},
            **{"distinct_2": 0.158, "self_bleu_4": 0.865, "cider_d": 0.482},
        },
    ),
    (
        *("systems", "EnCLAP baseline on Clotho, N=1045", WHOLE),
        {
            **{"vocabulary": 611, "distinct_captions": 0.629, "distinct_1": 0.052},
            **{"distinct_2": 0.156, "self_bleu_4": 0.884, "cider_d": 0.419},
        },
    ),
    (
        *("systems", "a 2025 system on Clotho, beam search, N=1045", WHOLE),
        {
            **{"vocabulary": 664, "distinct_captions": 0.769, "distinct_1": 0.054},
            **{"distinct_2": 0.178, "self_bleu_4": 0.844, "cider_d": 0.424},
        },
    ),
    *(
        (
            "systems",
            f"CoNeTTE on Clotho, N={size}",
            size,
            {"distinct_captions": distinct, "distinct_2": pairs, "self_bleu_4": alike},
        )
        for size, distinct, pairs, alike in (
            (20, 1.00, 0.74, 0.29),
            (50, 0.97, 0.56, 0.49),
            (100, 0.93, 0.45, 0.59),
            (200, 0.90, 0.35, 0.69),
        )
    ),
)

Values = dict[str, list[float]]


def measured(table: CaptionTable, index: Sequence[int], seed: int) -> dict[str, float]:
    """Measure some clips of a file."""
    captions = [table.captions[place] for place in index]
    values = {
        name: measure.value
        for name, measure in measure_captions(captions, seed).items()
        if name not in UNUSED
    }
    said = [split_words(caption.text) for caption in captions]
    people = [[split_words(text) for text in table.references[place]] for place in index]
    held = own_and_shuffled(said, people, seed)
    values["identification"] = held.identification
    values["cider_d"] = float(held.own.mean())
    values["cider_d_shuffled"] = float(held.shuffled.mean())
    scores = bleu(bleu_statistics(said, people).sum(axis=0))
    return values | {f"bleu_{n + 1}": float(scores[n]) for n in range(4)}


def draws(folder: Path, name: str, seeds: int) -> dict[int, Values]:
    """Measure a file at every size, over seeds; its whole stands at the last."""
    found: dict[int, Values] = {}
    for size in (*SIZES, WHOLE):
        values: Values = defaultdict(list)
        for seed in range(seeds):
            table = read_captions(folder / f"{name}.csv", seed=seed)
            total = len(table.captions)
            if size != WHOLE and size >= total:
                continue
            order = np.random.default_rng([seed, size]).permutation(total)
            index = order if size == WHOLE else order[:size]
            for measure, value in measured(table, index.tolist(), seed).items():
                values[measure].append(value)
            if size == WHOLE and (not table.people or seed == 2):
                break
        if values and not (size == WHOLE and total < SIZES[-1]):
            found[size] = dict(values)
    return found


def hull(of: Sequence[dict[int, Values]], size: int, measure: str) -> tuple[float, float] | None:
    """Give the range over systems of the middle 95 % of their draws."""
    ends = [
        np.percentile(values[size][measure], [2.5, 97.5])
        for values in of
        if measure in values.get(size, {})
    ]
    if not ends:
        return None
    return float(min(low for low, _ in ends)), float(max(high for _, high in ends))


def widened(
    pair: tuple[float, float], groups: Sequence[str], size: int, measure: str
) -> tuple[float, float]:
    """Take the literature's figures into a range."""
    values = [
        row[measure]
        for group, _, node, row in LITERATURE
        if group in groups and node == size and measure in row
    ]
    return min([pair[0], *values]), max([pair[1], *values])


def main() -> None:
    """Measure, write the numbers and draw them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds the published outputs as CSV")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    given = parser.parse_args()
    found = {
        name: draws(given.folder, name, given.seeds) for name in (*SYSTEMS, *PEOPLE, *COLLAPSED)
    }
    people = [found[name] for name in PEOPLE]
    healthy = [*(found[name] for name in SYSTEMS), *people]
    table: dict[str, dict[str, list[list[float]]]] = {}
    for measure in found["audiocaps_test_human"][SIZES[0]]:
        rows: dict[str, list[list[float]]] = {"healthy": [], "people": []}
        for size in (*SIZES, WHOLE):
            for group, of, kinds in (
                ("healthy", healthy, ("systems", "people")),
                ("people", people, ("people",)),
            ):
                pair = hull(of, size, measure)
                if pair is None:
                    raise SystemExit(f"no values of {measure} at {size}")
                low, high = widened(pair, kinds, size, measure)
                rows[group].append([float(f"{low:.4g}"), float(f"{high:.4g}")])
        table[measure] = rows
    sizes = [*SIZES, WHOLE]
    data = {
        "schema": SCHEMA,
        "made_by": "benchmarks/calibration/corridors.py",
        "seeds": given.seeds,
        "sources": [*SYSTEMS.values(), *PEOPLE.values(), *(who for _, who, _, _ in LITERATURE)],
        "sizes": sizes,
    }
    target = ROOT / "capfix_cli" / "measures" / "reference_ranges.json"
    target.write_text(as_text(data, table), encoding="utf-8")
    lines = {
        name: {
            measure: [(size, float(np.mean(values[measure]))) for size, values in sizes.items()]
            for measure in table
        }
        for name, sizes in found.items()
    }
    drawing = bands.draw(sizes, table, lines, tuple(COLLAPSED))
    (ROOT / "docs" / "corridors.svg").write_text(drawing, encoding="utf-8")
    for measure, rows in table.items():
        at = SIZES.index(100)
        print(f"{measure:24} healthy {rows['healthy'][at]} people {rows['people'][at]} at N=100")


def as_text(data: dict[str, object], table: dict[str, dict[str, list[list[float]]]]) -> str:
    """Write JSON with one line for each group of a measure."""
    rows = [
        f'  "{name}": {{\n'
        + ",\n".join(f'   "{group}": {json.dumps(pairs)}' for group, pairs in groups.items())
        + "\n  }"
        for name, groups in table.items()
    ]
    head = json.dumps(data, indent=1).removesuffix("\n}")
    return f'{head},\n "measures": {{\n' + ",\n".join(rows) + "\n }\n}\n"


if __name__ == "__main__":
    main()
