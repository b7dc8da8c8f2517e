"""How sure a diagnosis may be: how often answers of each ground were right away from home.

    python -m benchmarks.calibration.confidence FOLDER/foreign.jsonl ... --held FOLDER/foreign.jsonl

Reads answers that ``benchmarks/accuracy/foreign.py`` kept. The ground of a cause is how it was
believed: proved, proved by a decoding while nothing tells that the input fits, suspected, or
explained by another. The share of right ones, one right and one wrong answer added (Laplace), is
the confidence of that ground; ``capfix_cli/core/thresholds.py`` has these numbers.

Kinds are held out one by one: the answers about a kind get the confidence that all *other* kinds
give, and are compared with how often they are right. Architectures given by ``--held`` take no part
in any of it and are compared with what the tuned ones say.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.accuracy.foreign_summary import BESIDES, UNKNOWN, harmless, share
from benchmarks.result_files import RESULTS, write_result
from benchmarks.zoo.foreign.faults import FAULTS, SOUND

Row = dict[str, Any]
PROVED, DECODING, SUSPECTED, EXPLAINED = "proved", "proved by decoding", "suspected", "explained"
DECODINGS = "decoding.search"
# Confidences that what another cause explains was given, of this version and of the one before.
EXPLAINED_MOST = 0.225


@dataclass(frozen=True)
class Answer:
    """One cause that a diagnosis named.

    Attributes:
        kind: of the fault that was there.
        ground: on which it was believed.
        right: whether it is that fault by one of its names.
        first: whether it was named first.
    """

    kind: str
    ground: str
    right: bool
    first: bool


def answers(rows: Sequence[Row]) -> list[Answer]:
    """List all causes named; of faults that harmed nothing there is no right or wrong."""
    found = []
    for row in rows:
        if harmless(row, rows):
            continue
        besides = BESIDES.get(row["architecture"], set())
        right = FAULTS[row["fault"]].right if row["fault"] != SOUND else frozenset()
        named = [cause for cause in row.get("causes", []) if cause[0] not in besides]
        found += [
            Answer(row["fault"], ground(*cause), cause[0] in right, place == 0)
            for place, cause in enumerate(named)
            if cause[0] != UNKNOWN
        ]
    return found


def ground(name: str, confidence: float, status: str) -> str:
    """Say on what ground a cause was believed."""
    if status == "proved":
        return DECODING if name == DECODINGS else PROVED
    # What was suspected by itself is above a half of the most that a suspicion may have.
    return SUSPECTED if confidence >= 0.15 and confidence != EXPLAINED_MOST else EXPLAINED


def confidences(known: Iterable[Answer]) -> dict[str, float]:
    """Give the share of right answers of each ground, one right and one wrong added."""
    table = {}
    known = list(known)
    for name in (PROVED, DECODING, SUSPECTED, EXPLAINED):
        own = [answer.right for answer in known if answer.ground == name]
        table[name] = (sum(own) + 1) / (len(own) + 2)
    return table


def reliability(judged: Sequence[tuple[float, bool]], bins: int = 10) -> list[dict[str, Any]]:
    """Compare confidences with the share of right ones, bin by bin."""
    found = []
    for number in range(bins):
        inside = [p for p in judged if min(bins - 1, int(p[0] * bins)) == number]
        if inside:
            mean = sum(p[0] for p in inside) / len(inside)
            found.append({"mean": round(mean, 3), **share([p[1] for p in inside])})
    return found


def figures(tuned: Sequence[Row], held: Sequence[Row]) -> dict[str, Any]:
    """Give confidences, and how they do on kinds and architectures that were held out."""
    known, others = answers(tuned), answers(held)
    table = confidences(known)
    by_kind = {
        kind: confidences(answer for answer in known if answer.kind != kind)
        for kind in {answer.kind for answer in known}
    }
    left_out = [(by_kind[a.kind][a.ground], a.right) for a in known]
    # An architecture held out has kinds that the tuned ones have, so these are left out as well.
    apart = [(by_kind.get(a.kind, table)[a.ground], a.right) for a in others]
    return {
        "grounds": {
            name: {
                "confidence": round(value, 3),
                **share([a.right for a in known if a.ground == name]),
            }
            for name, value in table.items()
        },
        "kinds held out": reliability(left_out),
        "kinds and architectures held out": reliability(apart),
        "first causes, kinds and architectures held out": reliability(
            [pair for pair, answer in zip(apart, others, strict=True) if answer.first]
        ),
        "wrong first cause with .5 or more, kinds and architectures held out": share(
            [
                pair[0] >= 0.5 and not pair[1]
                for pair, answer in zip(apart, others, strict=True)
                if answer.first
            ]
        ),
        "answers": {"tuned": len(known), "held out": len(others)},
        "codes": sorted({str(row["code"]) for row in (*tuned, *held)}),
    }


def read(paths: Iterable[Path]) -> list[Row]:
    """Read kept answers, the last one of each job."""
    rows = {}
    for path in paths:
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            rows[row["job"]] = row
    return list(rows.values())


def main(words: Sequence[str] | None = None) -> int:
    """Print and store."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("tuned", type=Path, nargs="+")
    parser.add_argument("--held", type=Path, nargs="*", default=[])
    parser.add_argument("--publish", action="store_true", help="store them with the project")
    given = parser.parse_args(words)
    found = figures(read(given.tuned), read(given.held))
    print(json.dumps(found, indent=1))
    if given.publish:
        write_result("accuracy/confidence", found, RESULTS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
