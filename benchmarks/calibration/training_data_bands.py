"""Where people's training captions lie, and how often faults that are put in are found.

    python -m benchmarks.calibration.training_data_bands CAPTIONS.csv ... [--esc10 FOLDER]

Every file is judged as it is, then with one fault at a time, drawn anew for each seed. Files in
another layout need --column and --id-column. ESC-10 gives sound without captions; they are made by
the grammar of examples/esc10.py, and the clips put in random order.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import soundfile
from numpy.random import Generator

from capfix_cli.captions.caption_layouts import Columns
from capfix_cli.diagnosis.training_data.data_checks import examine_training_set
from capfix_cli.diagnosis.training_data.data_findings import TrainingData
from capfix_cli.diagnosis.training_data.shifted_pairs import Witnesses
from capfix_cli.diagnosis.training_data.sound_prints import SoundPrints, listen
from capfix_cli.diagnosis.training_data.training_file import (
    TrainingSet,
    read_training,
    training_set,
)

ROOT = Path(__file__).parents[2]
Rows = list[tuple[str, tuple[str, ...]]]
GENERIC = ("a sound is heard", "something is making noise", "there are sounds in the background")


@dataclass(frozen=True)
class Fault:
    """A fault that is put in, and the cause that must be found first."""

    name: str
    cause: str
    put_in: Callable[[Rows, Generator], Rows]


def favourite(share: float) -> Callable[[Rows, Generator], Rows]:
    """Put the file's first caption in the place of a share of all."""

    def put_in(rows: Rows, generator: Generator) -> Rows:
        text = rows[0][1][0]
        return _replaced(rows, generator, share, [text])

    return put_in


def one_sound(share: float) -> Callable[[Rows, Generator], Rows]:
    """Fill a share of the file with captions of one sound, of which there are many wordings."""

    def put_in(rows: Rows, generator: Generator) -> Rows:
        own = [text for _, texts in rows for text in texts if " dog" in f" {text.lower()}"]
        return _replaced(rows, generator, share, own)

    return put_in


def generic(share: float) -> Callable[[Rows, Generator], Rows]:
    """Put captions that say nothing in the place of a share of all."""
    return lambda rows, generator: _replaced(rows, generator, share, GENERIC)


def shifted(by: int) -> Callable[[Rows, Generator], Rows]:
    """Give every clip the captions of another row."""
    return lambda rows, _: [
        (name, rows[(place + by) % len(rows)][1]) for place, (name, _) in enumerate(rows)
    ]


def lost_row(rows: Rows, generator: Generator) -> Rows:
    """Lose the captions of a row somewhere in the middle half: all after it move up."""
    at = int(generator.integers(len(rows) // 4, 3 * len(rows) // 4))
    return rows[:at] + [
        (name, rows[min(at + place + 1, len(rows) - 1)][1])
        for place, (name, _) in enumerate(rows[at:])
    ]


def single(rows: Rows, _: Generator) -> Rows:
    """Keep the first caption of each clip alone."""
    return [(name, texts[:1]) for name, texts in rows]


def _replaced(rows: Rows, generator: Generator, share: float, by: Sequence[str]) -> Rows:
    return [
        (
            name,
            tuple(
                by[int(generator.integers(len(by)))] if generator.random() < share else text
                for text in texts
            ),
        )
        for name, texts in rows
    ]


FAULTS = (
    *(
        Fault(f"one caption {share:.0%}", "data.imbalanced", favourite(share))
        for share in (0.3, 0.5, 0.9)
    ),
    *(Fault(f"one sound {share:.0%}", "data.imbalanced", one_sound(share)) for share in (0.7, 0.9)),
    *(
        Fault(f"generic {share:.0%}", "data.generic-captions", generic(share))
        for share in (0.1, 0.3)
    ),
    Fault("single caption", "data.single-caption", single),
    *(Fault(f"shifted by {by:+d}", "data.shifted-pairs", shifted(by)) for by in (1, -2)),
    Fault("lost row", "data.shifted-pairs", lost_row),
)
PAIRS = "data.shifted-pairs"


def figures(data: TrainingData) -> str:
    """Show what was measured of a file as it is."""
    lines = []
    for finding in data.findings:
        lines.append(f"  {finding.id}: {finding.answer}, {finding.listed} rows {finding.needs}")
        for row in finding.evidence:
            value = f"{row.value:.5g}" if isinstance(row.value, float) else row.value
            limit = "" if row.threshold is None else f" (limit {row.threshold})"
            lines.append(f"    {row.name}: {value}{row.after}{limit}")
    return "\n".join(lines)


def judge(name: str, data: TrainingSet, witnesses: Witnesses, seeds: int) -> None:
    """Judge a file as it is and with every fault, and print how often the cause came first."""
    as_it_is = examine_training_set(data, witnesses, facts={})
    print(f"{name}: {len(data.names)} clips, {len(data.texts)} captions; causes", end=" ")
    print([(cause.id, cause.confidence) for cause in as_it_is.causes])
    print(figures(as_it_is))
    pairs = next(finding for finding in as_it_is.findings if finding.id == PAIRS)
    rows: Rows = list(zip(data.names, data.captions, strict=True))
    for fault in FAULTS:
        if fault.cause == PAIRS and pairs.answer == "not-tested":
            continue
        firsts = []
        for seed in range(seeds):
            broken = training_set(fault.put_in(rows, np.random.default_rng([seed, 1])))
            causes = examine_training_set(broken, witnesses, seed=seed, facts={}).causes
            firsts.append(causes[0].id if causes else "none")
        right = sum(first == fault.cause for first in firsts)
        wrong = sorted(set(firsts) - {fault.cause})
        print(f"  {fault.name:18} {fault.cause} first in {right} of {seeds} {wrong or ''}")


def esc10(folder: Path, size: int, seed: int) -> tuple[TrainingSet, Witnesses]:
    """Caption clips of ESC-10, in random order; names say nothing."""
    grammar = _example()
    generator = np.random.default_rng(seed)
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        labels = {row["path"]: row["label"] for row in csv.DictReader(file)}
    names = [str(name) for name in generator.permutation(sorted(labels))[:size]]
    prints, listed = listen(folder, names)
    rows = []
    for name in names:
        phrases = grammar.KINDS[labels[name]].phrases
        texts = []
        for template in grammar.SINGLE_TEMPLATES:
            subject, verb, participle = phrases[int(generator.integers(len(phrases)))]
            texts.append(template.format(a=f"{subject} {verb}", x=f"{subject} {participle}"))
        rows.append((name, texts))
    mute = {name: f"{number:03d}.ogg" for number, name in enumerate(names)}
    return (
        training_set([(mute[name], texts) for name, texts in rows]),
        Witnesses(prints, {found: mute[name] for found, name in listed.items()}),
    )


def _example() -> ModuleType:
    """Import examples/esc10.py, which holds the grammar."""
    spec = importlib.util.spec_from_file_location("esc10", ROOT / "examples" / "esc10.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError("examples/esc10.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["esc10"] = module
    spec.loader.exec_module(module)
    return module


def copies(folder: Path) -> None:
    """Print how alike different recordings are, and the same ones at another level or rate."""
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        names = [row["path"] for row in csv.DictReader(file)]
    prints, _ = listen(folder, names)
    alike = prints.course @ prints.course.T
    np.fill_diagonal(alike, -1)
    print("different recordings, highest:", np.sort(alike[np.triu_indices(len(alike), 1)])[-5:])
    generator = np.random.default_rng(0)
    for name, change in {
        "level x 0.4": lambda wave, rate: (wave * 0.4, rate, "wav"),
        "half the rate": lambda wave, rate: (wave[::2], rate // 2, "wav"),
        "packed as OGG": lambda wave, rate: (wave, rate, "ogg"),
        "noise at -30 dB": lambda wave, rate: (
            wave + generator.normal(size=wave.shape) * wave.std() * 10**-1.5,
            rate,
            "wav",
        ),
    }.items():
        print(f"{name}:", _percentiles(prints, folder, change))


def _percentiles(
    prints: SoundPrints, folder: Path, change: Callable[..., tuple[object, int, str]]
) -> list[float]:
    with tempfile.TemporaryDirectory() as place:
        picked = list(range(0, len(prints.names), 4))
        wanted = []
        for number in picked:
            wave, rate = soundfile.read(folder / prints.names[number])
            changed, at, kind = change(wave, rate)
            wanted.append(f"{number:04d}.{kind}")
            soundfile.write(Path(place) / wanted[-1], changed, at)
        again, _ = listen(place, wanted)
        course = {name: again.course[row] for row, name in enumerate(again.names)}
        found = [
            float(course[name] @ prints.course[number])
            for name, number in zip(wanted, picked, strict=True)
            if name in course
        ]
    return [round(float(np.percentile(found, share)), 4) for share in (0, 5, 50)]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--column")
    parser.add_argument("--id-column")
    parser.add_argument("--esc10", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    columns = Columns(caption=given.column, id=given.id_column)
    for path in given.files:
        judge(path.name, read_training(path, columns), Witnesses(), given.seeds)
    if given.esc10:
        copies(given.esc10)
        for size in (60, 100, 200, 400):
            for order in range(given.seeds):
                name = f"ESC-10, {size} clips, order {order}"
                judge(name, *esc10(given.esc10, size, order), given.seeds)


if __name__ == "__main__":
    main()
