"""Every training fix alone on the collapsing baseline, then the priorities in order, on ESC-10.

    python -m benchmarks.accuracy.ablation OUT --seeds 3 --budget 8

Captions are those of ``examples/esc10.py``: single events and two-event mixes, training clips of
folds 1 to 4, test clips of fold 5. The baseline is the document's failing one with every fix off:
time pooled away, audio in the first state alone, one caption a clip, no dropout, decay or
clipping. All settings see as many batches (oversampling 8 % more). Finished runs are kept in OUT:
started again it goes on.
Intervals are 95 %, by bootstrap over clips of the mean over seeds; changes are paired by clip.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from capfix_cli.captioners.own.own_captioner import OwnCaptioner
from capfix_cli.captioners.own.own_config import BASELINE, FrontEndConfig
from capfix_cli.captions.reference_file import read_references
from capfix_cli.core.text import split_words
from capfix_cli.decoding.encode_pass import SAMPLE, encode_and_caption
from capfix_cli.fixes.ablation import SCHEMA
from capfix_cli.fixes.catalogue import FIXES
from capfix_cli.fixes.fix_spec import AblatedForm, FixSpec
from capfix_cli.measures.cider import CiderD
from capfix_cli.measures.intervals import bootstrap_interval
from capfix_cli.probes.listening import _draw_references, ending, information_bound
from capfix_cli.probes.pair_scoring import Scorer
from capfix_cli.training.caption_data import load_training_clips
from capfix_cli.training.clip_variants import make_variants
from capfix_cli.training.data_preparation import prepare
from capfix_cli.training.switches import turn_on, without_fixes
from capfix_cli.training.training_config import TrainingConfig
from capfix_cli.training.training_loop import new_captioner, train

ROOT = Path(__file__).parents[2]
# Frames every 80 ms: a quarter of the default's time, and events of ESC-10 last for seconds.
MODEL = dataclasses.replace(BASELINE, front_end=FrontEndConfig(n_fft=2048, hop_length=1280))
BATCH, RATE = 16, 1e-3
MIXES = (280, 150)  # two-event clips for training and testing, beside 320 and 80 of one event
WORDNET = Path("/usr/share/wordnet")

Change = Callable[[TrainingConfig], TrainingConfig]


def fixes(*names: str) -> Change:
    """Switch fixes on."""
    return lambda setup: turn_on(setup, *names)


def fields(section: str, **values: Any) -> Change:
    """Set fields of a section."""
    return lambda setup: setup.change(section, **values)


def both(*changes: Change) -> Change:
    """Make several changes in order."""

    def change(setup: TrainingConfig) -> TrainingConfig:
        for each in changes:
            setup = each(setup)
        return setup

    return change


def fewer_epochs(setup: TrainingConfig) -> TrainingConfig:
    """Take epochs off where each has 64 batches for 37, so that all see about as many."""
    return setup.change("training", epochs=max(1, round(setup.training.epochs * 37 / 64)))


MASKS = fields("augmentation", mask_bands=8, mask_frames=0.1)
P2 = ("2.1", "2.2", "3.1")
P2_DATA = (*P2, "4.3", "4.1", "4.2")
GUARDS = ("5.3", "5.1", "5.2")
P3 = ("2.1", "2.3", "3.1", "4.3", *GUARDS)


def form_of(spec: FixSpec, form: AblatedForm) -> Change:
    """Give the change that a form of a fix is, with what this benchmark's data and budget need."""

    def change(setup: TrainingConfig) -> TrainingConfig:
        setup = setup if form.alone else turn_on(setup, spec.id)
        for section, values in form.values.items():
            setup = setup.change(section, **values)
        if setup.augmentation.synonyms:
            setup = setup.change("augmentation", wordnet=str(WORDNET))
        return fewer_epochs(setup) if setup.data.balance_by == "oversampling" else setup

    return change


# Every form of every fix that has one: the catalogue's modules list them.
ALONE: Mapping[str, Change] = {
    "baseline": fixes(),
    **{f"{spec.id} {form.name}": form_of(spec, form) for spec in FIXES for form in spec.ablated},
}
IN_ORDER: Mapping[str, Change] = {
    "priority 2: 2.1 2.2 3.1": fixes(*P2),
    "priority 2 with data: + 4.3 4.1 4.2": fixes(*P2_DATA),
    "priority 2 with 3.6": fixes(*P2, "4.3", "3.6"),
    "priority 3: 2.3 and guards": fixes(*P3),
    "priority 3: + 3.2": fixes(*P3, "3.2"),
    "priority 3: + SpecAugment": both(fixes(*P3), MASKS),
    "priority 3: + 2.4": fixes(*P3, "2.4"),
    "priority 3 with 3.6": fixes(*P3, "3.6"),
    "priority 4: Transformer decoder": fixes("2.1", "2.5", "3.1", "4.3", *GUARDS),
    "priority 4 with 3.6": fixes("2.1", "2.5", "3.1", "4.3", *GUARDS, "3.6"),
}
SETTINGS = {**ALONE, **IN_ORDER}


def setup_of(name: str, budget: int, seed: int) -> TrainingConfig:
    """The baseline with a setting's changes."""
    plain = without_fixes(MODEL).change(
        "training", epochs=budget, seed=seed, batch_size=BATCH, learning_rate=RATE
    )
    return SETTINGS[name](plain)


def esc10_example() -> ModuleType:
    """Import the example that builds the captioning set."""
    spec = importlib.util.spec_from_file_location("esc10", ROOT / "examples" / "esc10.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def build_world(out: Path, esc10: Path) -> Path:
    """Build the captioning set once; a build that was broken off is made anew."""
    world = out / "world"
    if not (world / "truth.json").is_file():
        if world.exists():
            raise SystemExit(f"{world} is not whole: remove it and start again.")
        esc10_example().build(world, esc10, 0, *MIXES)
    return world


def run(name: str, world: Path, out: Path, budget: int, seed: int) -> dict[str, Any]:
    """Train one setting with one seed and measure it on the test clips."""
    setup = setup_of(name, budget, seed)
    begin = time.perf_counter()
    clips = load_training_clips(
        world / "train.csv",
        world / "train",
        setup.model.front_end,
        root=out,
        variants=make_variants(setup.augmentation, 0, setup.model.front_end.sample_rate),
    )
    loaded = time.perf_counter()
    clips, _ = prepare(clips, setup.data, setup.augmentation, seed)
    captioner = new_captioner(setup.model, clips, seed)
    losses: list[float] = []
    train(
        *(captioner, clips, setup, captioner.encode_features),
        progress=lambda step, steps, loss: losses.append(loss),
    )
    trained = time.perf_counter()
    found = observe(captioner, world)
    return {
        "setting": name,
        "seed": seed,
        "budget": budget,
        "steps": len(losses),
        "loss": float(np.mean(losses[-10:])),
        "feature_seconds": loaded - begin,
        "training_seconds": trained - loaded,
        "measuring_seconds": time.perf_counter() - trained,
        **found,
    }


def observe(captioner: OwnCaptioner, world: Path) -> dict[str, Any]:
    """Measure a captioner on the test clips, clip by clip, in the order of their names."""
    references = read_references(world / "test.csv")
    heard = encode_and_caption(captioner, str(world / "test"), batch_size=32, seed=0)
    scorer = Scorer(captioner, heard.chunks)
    said = {caption.file_name: caption for caption in heard.captions}
    names = sorted(scorer.names)
    assert len(names) < SAMPLE  # all clips are scored
    own = {name: ending(said[name], captioner.eos_id) for name in names}
    people = _draw_references(references, scorer, 0)
    on_own, on_people = (information_bound(texts, scorer, 0) for texts in (own, people))
    words = [split_words(said[name].text) for name in names]
    truth = [[split_words(text) for text in references[name]] for name in names]
    texts = [said[name].text for name in names]
    return {
        "clips": names,
        "captions": texts,
        "distinct": len(set(texts)) / len(texts),
        "own_bits": on_own.bits.tolist(),
        "reference_bits": on_people.bits.tolist(),
        "identified": on_own.identified.tolist(),
        "cider_d": CiderD(words, truth).scores().tolist(),
    }


# --- the table --------------------------------------------------------------------------------

ENDS = {"change": "value", "low": "low", "high": "high"}
MEASURES = ("listening", "identified", "cider_d")


def per_clip(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Average each clip over seeds; listening is the lower of own captions' and references'."""
    mean = {
        key: np.mean([run[key] for run in runs], axis=0)
        for key in ("own_bits", "reference_bits", "identified", "cider_d")
    }
    own, people = mean["own_bits"], mean["reference_bits"]
    mean["listening"] = own if own.mean() <= people.mean() else people
    return mean


def summarise(results: Mapping[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Give a row a setting: values with intervals, and changes against the baseline."""
    base = per_clip(results["baseline"]) if results.get("baseline") else None
    rows = []
    for name, runs in results.items():
        if not runs:
            continue
        mean = per_clip(runs)
        row: dict[str, Any] = {"setting": name, "seeds": len(runs)}
        spread = [run["distinct"] for run in runs]
        row["distinct"] = {"value": float(np.mean(spread)), "low": min(spread), "high": max(spread)}
        for measure in MEASURES:
            low, high = bootstrap_interval(mean[measure], 0)
            row[measure] = {"value": float(mean[measure].mean()), "low": low, "high": high}
        if base is not None and name != "baseline":
            change = mean["listening"] - base["listening"]
            low, high = bootstrap_interval(change, 0)
            row["change"] = {"value": float(change.mean()), "low": low, "high": high}
            row["effect"] = "helps" if low > 0 else "harms" if high < 0 else "nothing"
        row["seconds"] = float(np.mean([run["training_seconds"] for run in runs]))
        row["loss"] = float(np.mean([run["loss"] for run in runs]))
        rows.append(row)
    return rows


def markdown(rows: list[dict[str, Any]], budget: int, seeds: int) -> str:
    """Write the table."""

    def cell(entry: Mapping[str, float]) -> str:
        return f"{entry['value']:.2f} ({entry['low']:.2f} to {entry['high']:.2f})"

    lines = [
        f"ESC-10, folds 1-4 against 5; {budget} epochs, {seeds} seeds; 95 % intervals over clips",
        "(distinct captions: smallest and largest of the seeds). Change: listening against the",
        "baseline, paired by clip.",
        "",
        "| setting | distinct | listening, bits | finds its clip | CIDEr-D | change | effect | s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        change = cell(row["change"]) if "change" in row else "-"
        cells = [row["setting"], cell(row["distinct"]), *(cell(row[m]) for m in MEASURES)]
        cells += [change, row.get("effect", "-"), f"{row['seconds']:.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def shipped(rows: list[dict[str, Any]], budget: int, seeds: int) -> dict[str, Any]:
    """Give what the catalogue shows of each setting."""
    settings = [
        {
            "setting": row["setting"],
            **{key: round(row["change"][end], 3) for key, end in ENDS.items()},
            "effect": row["effect"],
        }
        for row in rows
        if "change" in row
    ]
    return {"schema": SCHEMA, "epochs": budget, "seeds": seeds, "settings": settings}


def file_of(out: Path, name: str, seed: int, budget: int) -> Path:
    """Where a run is kept."""
    plain = "".join(ch if ch.isalnum() else "-" for ch in name)
    return out / "runs" / f"{plain}-{budget}-{seed}.json"


def main() -> None:
    """Run what is not there yet, and write the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path, help="folder; finished runs in it are kept")
    default = ROOT.parent / "shared" / "data" / "esc10"
    parser.add_argument("--esc10", type=Path, default=Path(os.environ.get("ESC10") or default))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=int, default=8, help="epochs of every setting")
    parser.add_argument("--only", action="append", help="settings that begin so; may be repeated")
    parser.add_argument("--ship", action="store_true", help="write what the catalogue shows")
    given = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    (given.out / "runs").mkdir(parents=True, exist_ok=True)
    world = build_world(given.out, given.esc10)
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in SETTINGS}
    wanted = [
        name
        for name in SETTINGS
        if not given.only or any(name.startswith(start) for start in given.only)
    ]
    if not WORDNET.is_dir() and "3.4 synonyms" in wanted:
        print(f"3.4 synonyms is left out: there is no {WORDNET} (Debian: wordnet-base)")
        wanted.remove("3.4 synonyms")
    # Seed by seed, so that a broken-off run has every setting at least once.
    for seed in range(given.seeds):
        for name in wanted:
            path = file_of(given.out, name, seed, given.budget)
            if not path.is_file():
                found = run(name, world, given.out, given.budget, seed)
                part = path.with_suffix(".part")
                part.write_text(json.dumps(found))
                part.replace(path)
            found = json.loads(path.read_text())
            results[name].append(found)
            bits = min(np.mean(found["own_bits"]), np.mean(found["reference_bits"]))
            print(
                f"seed {seed}  {name:42s} distinct {found['distinct']:.2f}  bits {bits:.2f}"
                f"  finds {np.mean(found['identified']):.2f}"
                f"  CIDEr-D {np.mean(found['cider_d']):.2f}  {found['training_seconds']:.0f} s",
                flush=True,
            )
    rows = summarise(results)
    (given.out / "ablation.json").write_text(json.dumps(rows, indent=1) + "\n")
    if given.ship:
        text = json.dumps(shipped(rows, given.budget, given.seeds), indent=1)
        (ROOT / "capfix_cli" / "fixes" / "ablation.json").write_text(text + "\n")
    table = markdown(rows, given.budget, given.seeds)
    (given.out / "ablation.md").write_text(table)
    print(table)


if __name__ == "__main__":
    main()
