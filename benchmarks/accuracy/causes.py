"""How often a whole diagnosis names the cause that was put in: the confusion matrix.

    python -m benchmarks.accuracy.causes --work FOLDER --quick
    python -m benchmarks.accuracy.causes --work FOLDER --esc10 PATH/TO/ESC-10

A sound captioner is broken in one known way at a time, for every cause of the design's table, over
architectures, audio sets and seeds, and then diagnosed as ``capfix diagnose`` does: gate, tree,
repairs, decoding trials and causes. Thresholds were set on the first two architectures; a
Transformer and a small Whisper of transformers were held out whole and have their own lines. Models
and results are kept in FOLDER, so that a run that was stopped goes on where it was; results of
other code are made anew.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

import capfix_cli
from benchmarks.accuracy.causes_training import ALL, DATA, HELD_OUT, Set, open_set, trained
from benchmarks.zoo.faults import AUDIO, BREAKS
from benchmarks.zoo.faults import World as Around
from capfix_cli.audio.audio_batches import iterate_batches
from capfix_cli.audio.audio_files import read_headers
from capfix_cli.captioners.base import Captioner
from capfix_cli.captions.reference_file import match_references, read_references
from capfix_cli.decoding.encode_pass import encode_and_caption
from capfix_cli.diagnosis.diagnose import run_diagnosis
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.diagnosis.training_data.data_checks import examine_training
from capfix_cli.schemas.diagnosis_record import Cause

SOUND = "sound"
UNDERTRAINED = "decoder.undertrained"


@dataclass(frozen=True)
class TrainingJob:
    """One captioner to be diagnosed."""

    audio_set: str
    architecture: str
    seed: int
    fault: str

    @property
    def key(self) -> str:
        """Its name in the file of results."""
        return f"{self.audio_set}/{self.architecture}/{self.seed}/{self.fault}"


def jobs(
    sets: Sequence[str], architectures: Sequence[str], seeds: int, quick: bool
) -> list[TrainingJob]:
    """List everything; ``quick`` trains the faults of training on the first architecture alone."""
    listed = []
    for audio_set in sets:
        for place, architecture in enumerate(architectures):
            for seed in range(seeds):
                faults = [SOUND, *BREAKS, *AUDIO, UNDERTRAINED]
                if not (quick and place):
                    faults += list(DATA)
                listed += [TrainingJob(audio_set, architecture, seed, fault) for fault in faults]
    # Those that must be trained come last: a run that is stopped has most by then.
    return sorted(listed, key=lambda job: job.fault in DATA)


def run(job: TrainingJob, held: Set, work: Path) -> dict[str, object] | None:
    """Break, diagnose, and give the ranked causes; None where the fault cannot be there."""
    fault = job.fault if job.fault in DATA or job.fault == UNDERTRAINED else SOUND
    loaded, table = trained(held, job.architecture, fault, job.seed, work)
    captioner = loaded.captioner
    audio = held.world.test_audio
    broken: Captioner | None = captioner
    if job.fault in BREAKS:
        broken = BREAKS[job.fault](captioner, around(captioner, held, job.seed))
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
    started = time.process_time()
    heard = encode_and_caption(broken, str(audio), batch_size=32, seed=job.seed)
    between = time.process_time()
    names = [caption.file_name for caption in heard.captions]
    references = match_references(read_references(held.world.test_captions), names, "test.csv")
    found = run_diagnosis(
        DiagnosisContext(
            loaded=replace(loaded, captioner=broken),
            clips=heard,
            references=references,
            seed=job.seed,
            training=training,
        )
    )
    listening, told = found.listening, found.prediction
    return {
        "job": job.key,
        "code": CODE,
        "verdict": found.decision.verdict,
        "leaf": found.walk.leaf.id,
        "bits": listening.bits if listening else None,
        "reference_bits": listening.reference_bits if listening else None,
        "ranked": [[cause.id, round(cause.confidence, 2)] for cause in found.causes],
        "foretold": None if told is None or told.came is None else [told.works, told.came],
        "repairs": [[trial.name, trial.kept] for trial in found.repairs],
        "seconds": [round(between - started, 2), round(time.process_time() - between, 2)],
    }


@torch.inference_mode()
def around(captioner: Captioner, held: Set, seed: int) -> Around:
    """Give what breaks may use besides the captioner."""
    clips, _ = read_headers(held.world.train_audio)
    batch = next(iterate_batches(clips[:16], captioner.sample_rate, 16))
    memory = captioner.encode(batch.waveforms, batch.lengths)
    references = [
        (*captioner.tokenize(text), captioner.eos_id)
        for texts in read_references(held.world.test_captions).values()
        for text in texts
    ]
    return Around(memory, references, seed)


def _digest() -> str:
    """Name the code that results come from: the package's and the benchmark's own."""
    here = Path(__file__).parent
    files = [*Path(capfix_cli.__file__).parent.rglob("*.py"), *here.parent.rglob("*.py")]
    found = hashlib.sha256()
    for file in sorted(files):
        found.update(file.read_bytes())
    return found.hexdigest()[:12]


CODE = _digest()


def summarise(results: Sequence[dict[str, object]]) -> Iterator[str]:
    """Give the confusion matrix and the shares, in words."""
    groups: dict[str, list[dict[str, object]]] = {}
    for result in results:
        groups.setdefault(str(result["job"]).split("/")[1], []).append(result)
    for architecture, own in groups.items():
        held = " (held out)" if architecture in HELD_OUT else ""
        yield f"\n{architecture}{held}"
        yield from _shares(own)
    yield "\nall"
    yield from _shares(results)
    yield from _outcomes(results)
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


def _outcomes(results: Sequence[dict[str, object]]) -> Iterator[str]:
    """Tell what came of predictions and repairs."""
    told = [r["foretold"] for r in results if isinstance(r.get("foretold"), list)]
    if told:
        right = sum(pair[0] == pair[1] for pair in told if isinstance(pair, list))
        yield f"  whether decoding would help was foretold rightly: {right} of {len(told)}"
    mended: dict[str, list[bool]] = {}
    for result in results:
        repairs = result.get("repairs")
        if isinstance(repairs, list) and repairs:
            worked = any(row[1] for row in repairs)
            mended.setdefault(_fault(result), []).append(worked)
    for fault, kept in sorted(mended.items()):
        yield f"  repaired without training, {fault}: {sum(kept)} of {len(kept)} tried"


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
    parser.add_argument("--architectures", default=",".join(ALL))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--quick", action="store_true", help="one seed, first set, two architectures"
    )
    parser.add_argument(
        "--only", default="", help="jobs whose name SET/ARCHITECTURE/SEED/FAULT has it"
    )
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.work.mkdir(parents=True, exist_ok=True)
    sets = given.sets.split(",")[: 1 if given.quick else None]
    architectures = ["every-step", HELD_OUT[0]] if given.quick else given.architectures.split(",")
    listed = jobs(sets, architectures, 1 if given.quick else given.seeds, given.quick)
    listed = [job for job in listed if given.only in job.key]
    kept = given.work / "results.jsonl"
    done = {}
    if kept.exists():
        rows = map(json.loads, kept.read_text().splitlines())
        done = {row["job"]: row for row in rows if row.get("code") == CODE}
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
