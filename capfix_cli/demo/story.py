"""The whole of capfix on a world made from nothing: collapse, diagnosis, repair, proof."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from capfix_cli.api import Settings, diagnose, generate, retrain
from capfix_cli.captioners.own.own_checkpoint import save
from capfix_cli.captioners.own.own_config import BASELINE, CaptionerConfig, FrontEndConfig
from capfix_cli.core.errors import CapfixError
from capfix_cli.core.progress import ProgressCallback, no_progress
from capfix_cli.decoding.decoding_options import GREEDY
from capfix_cli.demo.synthetic_world import World, describes, make_world
from capfix_cli.schemas.diagnosis_record import Diagnosis
from capfix_cli.schemas.retraining_record import Retraining
from capfix_cli.training.caption_data import load_training_clips
from capfix_cli.training.training_loop import TrainingOptions, fit

CONFIG = dataclasses.replace(BASELINE, front_end=FrontEndConfig(n_fft=1024, hop_length=640))


@dataclass(frozen=True)
class DemoSize:
    """How large a demo is; the default takes two to three minutes on two cores.

    Attributes:
        train_clips: training clips.
        test_clips: test clips.
        baseline_epochs: of the captioner that collapses.
        recipe_epochs: of the recipe and of its control.
        config: of the baseline: the document's, on frames of 40 ms, which halves the time.
    """

    train_clips: int = 480
    test_clips: int = 128
    baseline_epochs: int = 3
    recipe_epochs: int = 16
    config: CaptionerConfig = CONFIG


# A step every 16 clips at twice the default rate: what few clips and little time allow.
TRAINING = TrainingOptions(batch_size=16, learning_rate=2e-3)
SHOWN = 5


@dataclass(frozen=True)
class Scores:
    """How right captions are, by what was put into each clip.

    Attributes:
        named: share of events named.
        both: share of clips with both events named.
        ordered: share of clips with both named in the right order.
    """

    named: float
    both: float
    ordered: float


@dataclass(frozen=True)
class DemoResult:
    """What the demo found.

    Attributes:
        before: diagnosis of the collapsed baseline.
        retraining: the recipe's proof.
        captions: clip -> captioner -> caption, for a few clips, with the truth.
        scores: captioner -> how right its captions are.
    """

    before: Diagnosis
    retraining: Retraining
    captions: Mapping[str, Mapping[str, str]]
    scores: Mapping[str, Scores]


def run_demo(
    folder: Path, seed: int, size: DemoSize | None = None, progress: ProgressCallback = no_progress
) -> DemoResult:
    """Make a world, a collapsed captioner, its diagnosis, the repair and the proof.

    Args:
        folder: new or empty; everything is kept in it.
        seed: of the world and of all training.
        size: how large.
        progress: called as the work goes on.

    Raises:
        CapfixError: the folder cannot be used.
    """
    size = size or DemoSize()
    world = make_world(
        folder,
        size.train_clips,
        size.test_clips,
        seed,
        lambda done, total: progress("synthesising a captioned world", done, total),
    )
    model = _train_baseline(world, size, seed, progress)
    settings = Settings(
        seed=seed, references=str(world.test_captions), root=folder, command=("capfix", "demo")
    )
    before = diagnose(str(model), str(world.test_audio), settings, progress)
    if before.recipe is None:
        raise CapfixError(
            f"This seed gave a baseline that is {before.verdict}: there is nothing to repair.",
            "Use another --seed.",
        )
    proof = retrain(
        before.recipe,
        str(world.train_captions),
        str(world.train_audio),
        settings,
        output=str(folder / "repaired.pt"),
        epochs=size.recipe_epochs,
        progress=progress,
    )
    return _compare(world, model, before, proof, settings, progress=progress)


def _train_baseline(world: World, size: DemoSize, seed: int, progress: ProgressCallback) -> Path:
    clips = load_training_clips(
        world.train_captions,
        world.train_audio,
        size.config.front_end,
        lambda done, total: progress("computing features", done, total),
    )
    options = dataclasses.replace(TRAINING, epochs=size.baseline_epochs, seed=seed)
    captioner = fit(
        size.config,
        clips,
        options,
        progress=lambda step, steps, loss: progress(
            f"training the document's baseline (loss {loss:.2f})", step, steps
        ),
    )
    return save(captioner, world.folder / "model.pt", training=options.facts(5))


def _compare(
    world: World,
    model: Path,
    before: Diagnosis,
    proof: Retraining,
    settings: Settings,
    *,
    progress: ProgressCallback,
) -> DemoResult:
    """Caption the same clips with all three, and check them against the truth."""
    truth: dict[str, tuple[str, str]] = json.loads(world.truth.read_text(encoding="utf-8"))
    models = {"before": str(model), "control": proof.control_checkpoint, "after": proof.checkpoint}
    told: dict[str, dict[str, str]] = {}
    for name, path in models.items():
        if path is not None:
            heard = generate(path, str(world.test_audio), GREEDY, settings, progress)
            told[name] = {caption.file_name: caption.text for caption in heard.captions}
    clips = sorted(told["before"])
    shown = clips[:: max(1, len(clips) // SHOWN)][:SHOWN]
    return DemoResult(
        before,
        proof,
        {
            clip: {
                "truth": f"{truth[clip][0]}, then {truth[clip][1]}",
                **{name: captions[clip] for name, captions in told.items()},
            }
            for clip in shown
        },
        {name: score(captions, truth) for name, captions in told.items()},
    )


def score(captions: Mapping[str, str], truth: Mapping[str, tuple[str, str]]) -> Scores:
    """Check captions of two-event clips against what was put into them."""
    found = [describes(text, *truth[clip]) for clip, text in captions.items()]
    return Scores(
        named=sum(named for named, _ in found) / (2 * len(found)),
        both=sum(named == 2 for named, _ in found) / len(found),
        ordered=sum(right for _, right in found) / len(found),
    )
