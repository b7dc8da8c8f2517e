"""Diversity against listening for every way of decoding, on captioners of real audio (ESC-10).

The document's baseline, trained until it listens a little, and a captioner that hears the audio at
every step, trained briefly and longer. Each is decoded in every way that a diagnosis tries or
searches, and with each of the four stand-ins for "no audio". Beside both axes stands what they are
to predict: the share of the true events that the captions name. ``--plot`` draws one captioner.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from benchmarks.calibration import scatter
from capfix_cli.captioners.own.own_captioner import OwnCaptioner
from capfix_cli.captioners.own.own_config import BASELINE, PRIORITY_2
from capfix_cli.core.text import split_words
from capfix_cli.decoding.decoding_options import ABSENT_KINDS, GREEDY, DecodingOptions
from capfix_cli.decoding.encode_pass import encode_and_caption
from capfix_cli.diagnosis.trials.decoding_evaluator import DecodingEvaluator
from capfix_cli.fixes.decoding_fixes import DECODING_FIXES, SEARCHED
from capfix_cli.probes.pair_scoring import Scorer
from capfix_cli.schemas.measured_values import Listening, Measure
from capfix_cli.training.caption_data import load_training_clips
from capfix_cli.training.training_loop import TrainingOptions, fit

ROOT = Path(__file__).parents[2]
TRAINING = TrainingOptions(batch_size=16, learning_rate=2e-3)
CAPTIONERS = {
    "baseline, 8 epochs": (BASELINE, 8),
    "audio at every step, 2 epochs": (PRIORITY_2, 2),
    "audio at every step, 5 epochs": (PRIORITY_2, 5),
}


def ways() -> dict[str, DecodingOptions]:
    """List every decoding by what it is called, each kind of "no audio" included."""
    known = [GREEDY, *(fix.options for fix in (*DECODING_FIXES.values(), *SEARCHED))]
    known += [DecodingOptions(num_beams=3), DecodingOptions(repetition_penalty=1.3)]
    known += [
        DecodingOptions(do_sample=True, top_p=0.95, num_candidates=8, rerank="mbr"),
    ]
    known += [
        DecodingOptions(contrast=weight, contrast_absent=kind)
        for kind in ABSENT_KINDS
        for weight in (1.0, 3.0)
    ]
    # Gains can come from the cut alone (arXiv 2504.10020): the cut without a contrast, and the
    # contrast without a cut.
    known += [DecodingOptions(contrast=1e-6), DecodingOptions(contrast=1.0, contrast_cutoff=0.0)]
    # Whatever is named alike is the same; what differs must not be.
    found = {options.describe(): options for options in known}
    if len(found) < len(set(known)):
        raise AssertionError("two decodings go by one name")
    return found


@dataclass(frozen=True)
class Row:
    """One decoding of one captioner."""

    name: str
    distinct: Measure
    listening: Listening
    named: float


def observe(
    captioner: OwnCaptioner,
    audio: Path,
    truth: Mapping[str, Sequence[str]],
    kinds: Mapping[str, Any],
) -> list[Row]:
    """Decode in every way."""
    heard = encode_and_caption(captioner, str(audio), batch_size=32, seed=0)
    evaluator = DecodingEvaluator(Scorer(captioner, heard.chunks), None, 0)
    rows = []
    for name, options in ways().items():
        outcome = evaluator.observe(options)
        named = [
            float(bool(kinds[kind].words & set(split_words(caption.text))))
            for caption in outcome.captions
            for kind in truth[caption.file_name]
        ]
        distinct = outcome.measures["distinct_captions"]
        rows.append(Row(name, distinct, outcome.listening, sum(named) / len(named)))
        print(shown(rows[-1]), flush=True)
    return rows


def shown(row: Row) -> str:
    """A line of the table."""
    bits = row.listening
    return (
        f"    {row.name:58s} distinct {row.distinct.value:.2f} ({row.distinct.low:.2f}-"
        f"{row.distinct.high:.2f})  bits {bits.bits:.2f} ({bits.low:.2f}-{bits.high:.2f})  "
        f"named {row.named:.2f}"
    )


def example() -> ModuleType:
    """Import examples/esc10.py, which builds the set."""
    spec = importlib.util.spec_from_file_location("esc10", ROOT / "examples" / "esc10.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError("examples/esc10.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["esc10"] = module
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Train, decode and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("esc10", type=Path, help="ESC-10 as it is distributed")
    parser.add_argument("--plot", type=Path, metavar="SVG", help="draw the last captioner")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    build = example()
    with tempfile.TemporaryDirectory() as place:
        world = build.build(Path(place, "set"), arguments.esc10, 0)
        truth = json.loads(world.truth.read_text())
        rows: list[Row] = []
        for title, (config, epochs) in CAPTIONERS.items():
            clips = load_training_clips(world.train_captions, world.train_audio, config.front_end)
            options = dataclasses.replace(TRAINING, epochs=epochs)
            captioner = fit(config, clips, options)
            print(title, flush=True)
            rows = observe(captioner, world.test_audio, truth, build.KINDS)
    if arguments.plot is not None:
        points = [
            scatter.Point(row.name, row.distinct.value, row.listening.bits, row.named)
            for row in rows
        ]
        axes = ("distinct captions", "listening, bits of 4.39", "share of events named")
        arguments.plot.write_text(scatter.draw(points, title, axes), encoding="utf-8")


if __name__ == "__main__":
    main()
