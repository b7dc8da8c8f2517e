"""Count how often 95 % intervals hold the true value, on captions drawn in known ways.

    python -m benchmarks.calibration.measures_coverage [DRAWS] [N ...]

The true value of a measure at N is its mean over all draws of N captions, 95 times as many draws
as any one interval rests on. Sections of the table: how captions are drawn. A coverage of 95 has a
standard error of 1.1 points at 400 draws. ``width`` is the mean half interval over 1.96 standard
deviations of the draws: 1 is exact.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np

from benchmarks.calibration.corpora import DRAWERS, Drawer, counted_of
from capfix_cli.measures.corpus_measures import measure_corpus


def coverage(draw: Drawer, size: int, draws: int) -> Iterator[tuple[str, float, float, float]]:
    """Give each measure's name, true value, coverage and relative width."""
    found: dict[str, list[tuple[float, float, float]]] = {}
    for seed in range(draws):
        table = measure_corpus(counted_of(draw(np.random.default_rng([seed, size]), size)), seed)
        for name, measure in table.items():
            assert measure.low is not None
            assert measure.high is not None
            found.setdefault(name, []).append((measure.value, measure.low, measure.high))
    for name, rows in found.items():
        values, lows, highs = np.array(rows).T
        true = float(values.mean())
        held = float(((lows <= true + 1e-12) & (true - 1e-12 <= highs)).mean())
        spread = float(values.std())
        width = float((highs - lows).mean()) / 2 / 1.96 / spread if spread > 1e-12 else np.inf
        yield name, true, held, width


def main() -> None:
    """Print the table, one row a measure, and how many cells lie in 93 to 97 %."""
    draws, *sizes = [int(word) for word in sys.argv[1:]] or [400, 50, 200, 1000]
    cells: list[float] = []
    for name, draw in DRAWERS.items():
        for size in sizes or [50, 200, 1000]:
            print(f"\n{name}, N={size}, {draws} draws")
            for measure, true, held, width in coverage(draw, size, draws):
                print(f"  {measure:34s}{true:10.4g}{100 * held:8.1f} %   width {width:5.2f}")
                if np.isfinite(width):
                    cells.append(held)
    shares = np.array(cells)
    print(f"\n{len(shares)} cells: mean {100 * shares.mean():.1f} %")
    for low, high in ((0.93, 0.97), (0.91, 0.99), (0.85, 1.0)):
        inside = float(((shares >= low - 1e-9) & (shares <= high + 1e-9)).mean())
        print(f"in {100 * low:.0f} to {100 * high:.0f} %: {100 * inside:.0f} %")


if __name__ == "__main__":
    main()
