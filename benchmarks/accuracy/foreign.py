"""How often a diagnosis is right away from home: other captioners, worlds and kinds of fault.

    python -m benchmarks.accuracy.foreign --work FOLDER --esc10 PATH/TO/ESC-10
    python -m benchmarks.accuracy.foreign --work FOLDER --architectures cells --faults sound,axes

Every kind of fault of ``benchmarks/zoo/foreign`` is put into each of its captioners, which is then
diagnosed as a user would: a checkpoint, an adapter, a folder of clips, references and the training
file. Nothing of capfix was tuned on them. Checkpoints and answers are kept in FOLDER, so that a run
that was stopped goes on where it was; answers of other code are made anew.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import capfix_cli
from benchmarks.accuracy.foreign_summary import lines, summarise
from benchmarks.result_files import RESULTS, write_result
from benchmarks.zoo.foreign import adapter
from benchmarks.zoo.foreign.architectures import ARCHITECTURES
from benchmarks.zoo.foreign.faults import FAULTS, SOUND, Fault
from benchmarks.zoo.foreign.training import sound, trained
from benchmarks.zoo.foreign.worlds import WORLDS, ForeignWorld, open_world, write_captions
from capfix_cli import api
from capfix_cli.core.errors import CapfixError
from capfix_cli.diagnosis.command_settings import Settings

Row = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """One captioner to be diagnosed, with references or without."""

    world: str
    architecture: str
    fault: str
    seed: int
    references: bool

    @property
    def key(self) -> str:
        """Its name in the file of answers."""
        told = "" if self.references else "/without-references"
        return f"{self.world}/{self.architecture}/{self.fault}/{self.seed}{told}"


@dataclass(frozen=True)
class Case:
    """A job's files, as a user would have them."""

    model: Path
    references: Path | None
    training: Path


def prepare(job: Job, world: ForeignWorld, work: Path) -> Case | None:
    """Train, break and write what is to be diagnosed; None where the fault cannot be there."""
    fault = FAULTS.get(job.fault, Fault(frozenset(), None, "data"))
    if fault.references is not None and not job.references:
        return None
    training, key = sound(job.architecture, world), f"{SOUND}-{job.seed}"
    if fault.training is not None:
        changed = fault.training(job.architecture, training, job.seed)
        if changed is None:
            return None
        training, key = changed, f"{job.fault}-{job.seed}"
    if fault.serving is not None and fault.training is None:
        # Whether it can be there is asked before an hour is spent on what cannot.
        plain = trained(world, job.architecture, training, key, work / "checkpoints")
        if fault.serving(adapter.CLASSES[job.architecture](plain), job.seed) is None:
            return None
    checkpoint = trained(world, job.architecture, training, key, work / "checkpoints")
    if fault.file is not None:
        broken = fault.file(checkpoint, job.seed)
        if broken is None:
            return None
        checkpoint = broken
    folder = work / "cases" / job.key.replace("/", "+")
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(checkpoint, folder / "model.pt")
    served = {"fault": job.fault, "seed": job.seed}
    (folder / adapter.SERVED).write_text(json.dumps(served), encoding="utf-8")
    told = world.captions("test")
    if fault.references is not None:
        told = {name: list(texts) for name, texts in fault.references(told, job.seed).items()}
    return Case(
        folder / "model.pt",
        write_captions(folder / "references.csv", told) if job.references else None,
        write_captions(folder / "training.csv", training.captions),
    )


def run(job: Job, world: ForeignWorld, work: Path) -> Row | None:
    """Diagnose as a user would; None where the fault cannot be there."""
    started = time.monotonic()
    case = prepare(job, world, work)
    if case is None:
        return None
    prepared = time.monotonic()
    row: Row = {"job": job.key, "code": CODE, **vars(job)}
    settings = Settings(
        adapter=f"{adapter.__file__}:load",
        references=None if case.references is None else str(case.references),
        train_captions=str(case.training),
        train_audio=str(world.folder / "train"),
        root=case.model.parent,
        seed=job.seed,
    )
    try:
        found: Any = api.diagnose(str(case.model), str(world.folder / "test"), settings)
    except CapfixError as error:
        row |= {"error": f"refused: {error}"}
    except Exception as error:  # a crash is an answer too, and the worst
        traceback.print_exc()
        row |= {"error": f"crashed: {type(error).__name__}: {error}"}
    else:
        row |= _answer(found) | _captions(case.model.parent, found.run, world)
    row["seconds"] = [round(prepared - started, 1), round(time.monotonic() - prepared, 1)]
    return row


def _answer(found: Any) -> Row:
    """What a diagnosis says; fields that this version of capfix lacks are None, causes proved."""
    listening = found.listening
    return {
        "verdict": found.verdict,
        "bits": listening.bits if listening else None,
        "reference_bits": listening.reference_bits if listening else None,
        "causes": [
            [cause.id, round(cause.confidence, 3), getattr(cause, "status", "proved")]
            for cause in found.causes
        ],
        "lost_at": _plain(getattr(found, "lost_at", None)),
    }


def _plain(place: Any) -> str | None:
    """Name a place, whether it is a name or a record of one."""
    return None if place is None else str(getattr(place, "place", place))


def _captions(root: Path, run_id: str, world: ForeignWorld) -> Row:
    """Judge the captions by what the scenes hold, which capfix does not know."""
    with (root / ".capfix" / "runs" / run_id / "captions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    given = {row["file_name"]: row["caption_predicted"] for row in rows}
    # A clip that got no caption, its scores being no numbers, has none of its events named.
    captions = {name: given.get(name, "") for name in world.captions("test")}
    named, chance = world.named(captions)
    words = sum(len(text.split()) for text in captions.values()) / len(captions)
    return {
        "named": round(named, 3),
        "named_by_chance": round(chance, 3),
        "words": round(words, 2),
        "captioned": round(len(given) / len(captions), 3),
        "distinct": len(set(captions.values())) / len(captions),
    }


def _digest() -> str:
    """Name the code that answers come from: the package's, and what makes the captioners."""
    files = [*Path(capfix_cli.__file__).parent.rglob("*.py")]
    files += Path(adapter.__file__).parent.rglob("*.py")
    found = hashlib.sha256()
    for file in sorted(files):
        found.update(file.read_bytes())
    return found.hexdigest()[:12]


CODE = _digest()


def jobs(given: argparse.Namespace) -> list[Job]:
    """List everything; sound ones first, and faults that need no training before the others."""
    faults = given.faults.split(",") if given.faults else [SOUND, *FAULTS]
    unknown = set(faults) - {SOUND, *FAULTS}
    if unknown:
        raise SystemExit(
            f"No such fault: {', '.join(sorted(unknown))}. There are: {SOUND}, " + ", ".join(FAULTS)
        )
    faults.sort(key=lambda name: name != SOUND and FAULTS[name].training is not None)
    return [
        Job(world, architecture, fault, seed, not given.without_references)
        for seed in range(given.seeds)
        for fault in faults
        for world in given.worlds.split(",")
        for architecture in given.architectures.split(",")
    ]


def read_rows(kept: Path, any_code: bool = False) -> dict[str, Row]:
    """Read the answers of this code, or of any, by their jobs."""
    if not kept.exists():
        return {}
    rows = map(json.loads, kept.read_text(encoding="utf-8").splitlines())
    return {row["job"]: row for row in rows if any_code or row["code"] == CODE}


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="everything is kept here")
    parser.add_argument("--esc10", type=Path, help="folder of ESC-10; without it, no such world")
    parser.add_argument("--architectures", default=",".join(ARCHITECTURES))
    parser.add_argument("--worlds", default=",".join(WORLDS))
    parser.add_argument("--faults", default="", help="kinds, or `sound`; all by default")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--without-references", action="store_true")
    parser.add_argument("--any-code", action="store_true", help="keep answers of other code")
    parser.add_argument("--summary-only", action="store_true", help="run nothing")
    parser.add_argument("--name", default="", help="of the result, such as held-out")
    parser.add_argument("--publish", action="store_true", help="store the summary with the project")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Run what is left to run, and sum up all that was asked for."""
    given = _arguments(words)
    torch.set_num_threads(1)
    given.work.mkdir(parents=True, exist_ok=True)
    kept = given.work / "foreign.jsonl"
    done = read_rows(kept, given.any_code)
    listed = jobs(given)
    worlds = {
        name: None if given.summary_only else open_world(name, given.work / "worlds", given.esc10)
        for name in given.worlds.split(",")
    }
    for number, job in enumerate(listed):
        world = worlds[job.world]
        if job.key in done or world is None:
            continue
        row = run(job, world, given.work)
        if row is None:
            continue
        done[job.key] = row
        with kept.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{number + 1}/{len(listed)} {job.key}: {_short(row)}", flush=True)
    rows = [done[job.key] for job in listed if job.key in done]
    # Answers may be older than the commit at which they are summed up: their code is named.
    figures = summarise(rows) | {"codes": sorted({str(row["code"]) for row in rows})}
    print("\n".join(lines(figures)))
    name = "accuracy/foreign" + ("-without-references" if given.without_references else "")
    name += f"-{given.name}" if given.name else ""
    write_result(name, figures, RESULTS if given.publish else given.work)
    return 0


def _short(row: Row) -> str:
    if "error" in row:
        return str(row["error"])
    named = f"names {row['named']:.2f} (chance {row['named_by_chance']:.2f})"
    return f"{row['verdict']}, {named}, {row['causes'][:3]}, lost at {row['lost_at']}"


if __name__ == "__main__":
    sys.exit(main())
