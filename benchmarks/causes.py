"""How often the finders name the cause that was put in: the confusion matrix.

    python benchmarks/causes.py --work FOLDER --quick
    python benchmarks/causes.py --work FOLDER --esc10 PATH/TO/ESC-10

A sound captioner is broken in one known way at a time, for every cause of the design's table, over
architectures, audio sets and seeds. Thresholds were set on the first two architectures; the
Transformer was held out whole and has its own line. Models and results are kept in FOLDER, so that
a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from causes_breaks import AUDIO, BREAKS
from causes_breaks import World as Around
from causes_training import ARCHITECTURES, DATA, HELD_OUT, Set, open_set, trained

from capfix_cli.audio.batches import iterate_batches
from capfix_cli.audio.files import read_headers
from capfix_cli.captioners.base import Captioner
from capfix_cli.captioners.own.captioner import OwnCaptioner
from capfix_cli.diagnosis.finders.case import Case
from capfix_cli.diagnosis.finders.table import FINDERS
from capfix_cli.diagnosis.hearing import hear
from capfix_cli.diagnosis.prediction import predict
from capfix_cli.diagnosis.ranking import look, rank
from capfix_cli.diagnosis.training.captions_data import examine_training
from capfix_cli.diagnosis.verdict import decide
from capfix_cli.fixes.trials import Laboratory
from capfix_cli.measures.captions_file import match_references, read_references
from capfix_cli.measures.table import judge_diversity
from capfix_cli.probes.experiments import Experiments
from capfix_cli.probes.scoring import Scorer
from capfix_cli.records import Cause

SOUND = "sound"
UNDERTRAINED = "decoder.undertrained"
FIRST_TRIAL = "temperature-0.8-top-p-0.9"


@dataclass(frozen=True)
class Job:
    """One captioner to be diagnosed."""

    audio_set: str
    architecture: str
    seed: int
    fault: str

    @property
    def key(self) -> str:
        """Its name in the file of results."""
        return f"{self.audio_set}/{self.architecture}/{self.seed}/{self.fault}"


def jobs(sets: Sequence[str], architectures: Sequence[str], seeds: int, quick: bool) -> list[Job]:
    """List everything; ``quick`` trains the faults of training on the first architecture alone."""
    listed = []
    for audio_set in sets:
        for place, architecture in enumerate(architectures):
            for seed in range(seeds):
                faults = [SOUND, *BREAKS, *AUDIO, UNDERTRAINED]
                if not (quick and place):
                    faults += list(DATA)
                listed += [Job(audio_set, architecture, seed, fault) for fault in faults]
    # Those that must be trained come last: a run that is stopped has most by then.
    return sorted(listed, key=lambda job: job.fault in DATA)


def run(job: Job, held: Set, work: Path) -> dict[str, object] | None:
    """Break, diagnose, and give the ranked causes; None where the fault cannot be there."""
    fault = job.fault if job.fault in DATA or job.fault == UNDERTRAINED else SOUND
    captioner, table = trained(held, job.architecture, fault, job.seed, work)
    audio = held.world.test_audio
    broken: Captioner | None = captioner
    if job.fault in BREAKS:
        broken = BREAKS[job.fault](captioner, _around(captioner, held, job.seed))
    if broken is None:
        return None
    if job.fault in AUDIO:
        audio = AUDIO[job.fault](audio, work / f"{job.audio_set}-{job.fault}", job.seed)
    training: Sequence[Cause] | None = None
    if job.fault in DATA or job.fault == SOUND:
        # What a checkpoint remembers of its training: one of the file's five captions was used.
        single = job.fault == "data.single-caption"
        training = examine_training(
            held.world.train_captions if single else table,
            held.world.train_audio,
            captioner.vocabulary,
            seed=job.seed,
            facts={"training.captions_per_clip": 1} if single else {},
        ).causes
    started = time.monotonic()
    case = open_case(broken, audio, held, job.seed, training)
    heard = time.monotonic()
    ranked = rank(look(case, FINDERS)).ranked
    listening = case.listening
    return {
        "job": job.key,
        "verdict": case.decision.verdict,
        "bits": listening.bits if listening else None,
        "reference_bits": listening.reference_bits if listening else None,
        "ranked": [[cause.id, round(cause.confidence, 2)] for cause in ranked],
        "seconds_heard": round(heard - started, 2),
        "seconds_found": round(time.monotonic() - heard, 2),
    }


@torch.inference_mode()
def _around(captioner: OwnCaptioner, held: Set, seed: int) -> Around:
    clips, _ = read_headers(held.world.train_audio)
    batch = next(iterate_batches(clips[:16], captioner.sample_rate, 16))
    memory = captioner.encode(batch.waveforms, batch.lengths)
    references = [
        (*captioner.tokenize(text), captioner.eos_id)
        for texts in read_references(held.world.test_captions).values()
        for text in texts
    ]
    return Around(memory, references, seed)


def open_case(
    captioner: Captioner,
    audio: Path,
    held: Set,
    seed: int,
    training: Sequence[Cause] | None,
) -> Case:
    """Do what a diagnosis does before it looks for causes; of the trials the first alone."""
    heard = hear(captioner, str(audio), batch_size=32, seed=seed)
    names = [caption.file_name for caption in heard.captions]
    texts = match_references(read_references(held.world.test_captions), names, "test.csv")
    people = [texts.get(name, ()) for name in names]
    diversity = judge_diversity([caption.text for caption in heard.captions], people, seed)
    laboratory = Laboratory(Scorer(captioner, heard.chunks), texts, seed)
    listening = laboratory.greedy.listening if heard.finite else None
    case = Case(
        captioner,
        Experiments(captioner, heard.sample, heard.chunks, heard.captions, texts, seed),
        decide(diversity, listening),
        listening,
        {},
        heard.digests,
        heard.audio.skipped,
        heard.finite,
        heard.broken,
        training,
    )
    told = predict(case) if case.ill and case.finite else None
    if told is not None and told.works and case.decision.verdict == "collapsed":
        trial = laboratory.trial(FIRST_TRIAL)
        rescued = trial.name if trial.kept else None
        case = Case(**{**vars(case), "rescued_by": rescued, "tried": 1})
    return case


def summarise(results: Sequence[dict[str, object]]) -> Iterator[str]:
    """Give the confusion matrix and the shares, in words."""
    groups: dict[str, list[dict[str, object]]] = {}
    for result in results:
        groups.setdefault(str(result["job"]).split("/")[1], []).append(result)
    for architecture, own in groups.items():
        held = " (held out)" if architecture == HELD_OUT else ""
        yield f"\n{architecture}{held}"
        yield from _shares(own)
    yield "\nall"
    yield from _shares(results)
    yield "\nput in -> found first (times)"
    matrix: dict[str, Counter[str]] = {}
    for result in results:
        matrix.setdefault(_fault(result), Counter())[_found(result, 1)[0]] += 1
    for fault, found in sorted(matrix.items()):
        said = ", ".join(f"{name} {count}" for name, count in found.most_common())
        yield f"  {fault:34} {said}"


def _shares(results: Sequence[dict[str, object]]) -> Iterator[str]:
    faulty = [r for r in results if _fault(r) != SOUND]
    sound = [r for r in results if _fault(r) == SOUND]
    for most in (1, 2):
        right = sum(_fault(r) in _found(r, most) for r in faulty)
        share = right / max(1, len(faulty))
        yield f"  the right cause among the first {most}: {right} of {len(faulty)} ({share:.1%})"
    well = sum(_found(r, 1) == [SOUND] for r in sound)
    yield f"  sound called sound: {well} of {len(sound)}"


def _fault(result: dict[str, object]) -> str:
    return str(result["job"]).rsplit("/", 1)[1]


def _found(result: dict[str, object], most: int) -> list[str]:
    ranked = result["ranked"]
    names = [str(row[0]) for row in ranked] if isinstance(ranked, list) else []
    return names[:most] or [SOUND]


def main() -> int:
    """Run what is left to run, and print the matrix of all that was."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="models and results are kept here")
    parser.add_argument("--esc10", type=Path, default=Path(os.environ.get("ESC10", "esc10")))
    parser.add_argument("--sets", default="synthesised,esc10")
    parser.add_argument("--architectures", default=",".join(ARCHITECTURES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--quick", action="store_true", help="one seed, first set, two architectures"
    )
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.work.mkdir(parents=True, exist_ok=True)
    sets = given.sets.split(",")[: 1 if given.quick else None]
    architectures = ["every-step", HELD_OUT] if given.quick else given.architectures.split(",")
    listed = jobs(sets, architectures, 1 if given.quick else given.seeds, given.quick)
    kept = given.work / "results.jsonl"
    done = {}
    if kept.exists():
        done = {r["job"]: r for r in map(json.loads, kept.read_text().splitlines())}
    opened: dict[str, Set] = {}
    for job in listed:
        if job.key in done:
            continue
        if job.audio_set not in opened:
            opened[job.audio_set] = open_set(job.audio_set, given.work, given.esc10)
        result = run(job, opened[job.audio_set], given.work)
        if result is None:
            continue
        done[job.key] = result
        with kept.open("a") as file:
            file.write(json.dumps(result) + "\n")
        mark = "  " if job.fault in _found(result, 1) else "! "
        print(f"{mark}{job.key}: {result['verdict']}, {result['ranked']}", flush=True)
    wanted = {job.key for job in listed}
    print("\n".join(summarise([r for key, r in done.items() if key in wanted])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
