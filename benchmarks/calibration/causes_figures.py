"""What the figures behind thresholds of causes are, for sound captioners and for broken ones.

    python -m benchmarks.calibration.causes_figures --work FOLDER   (models of causes.py)

One line a threshold of ``capfix_cli/core/thresholds.py``: the range of its figure over all sound
captioners of the folder, and over the same captioners broken in the way that it is to tell.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.accuracy.causes import around
from benchmarks.accuracy.causes_training import ALL, Set, open_set, trained
from benchmarks.zoo.faults import BREAKS
from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.captioners.base import Captioner
from capfix_cli.captions.reference_file import match_references, read_references
from capfix_cli.core.thresholds import (
    BLIND_NATS,
    DEAF_NATS,
    FAINT_LISTENING,
    FLAT_ATTENTION,
    GUESSED_RIGHT,
    LATER_SHARE,
    MEMORY_SHARE,
    RUNS_ASTRAY,
    SHARPENED,
    STILL_ATTENTION,
    TIME_SHARE,
    Threshold,
)
from capfix_cli.decoding.encode_pass import encode_and_caption
from capfix_cli.diagnosis.trials.decoding_evaluator import DecodingEvaluator
from capfix_cli.probes.pair_scoring import Scorer
from capfix_cli.probes.probe_cache import ProbeCache
from capfix_cli.schemas.measured_values import Listening


@dataclass(frozen=True)
class Seen:
    """A captioner and what it said."""

    probes: ProbeCache
    listening: Listening


@dataclass(frozen=True)
class Figure:
    """What a threshold is compared with, and the fault that it is to tell."""

    name: str
    threshold: Threshold
    fault: str
    measure: Callable[[Seen], float]


def _later(seen: Seen) -> float:
    found = seen.probes.conditioning
    return found.later / max(found.swap[:2])


def _heard(seen: Seen) -> float:
    return seen.listening.deciding_bits / seen.listening.ceiling_bits


FIGURES = (
    Figure("FAINT_LISTENING", FAINT_LISTENING, "conditioning.first-step-only", _heard),
    Figure(
        "MEMORY_SHARE",
        MEMORY_SHARE,
        "encoder.collapsed",
        lambda seen: seen.probes.geometry.memory.share,
    ),
    Figure(
        "DEAF_NATS",
        DEAF_NATS,
        "conditioning.ignored",
        lambda seen: seen.probes.conditioning.overall,
    ),
    Figure("LATER_SHARE", LATER_SHARE, "conditioning.first-step-only", _later),
    Figure(
        "TIME_SHARE",
        TIME_SHARE,
        "encoder.time-pooling",
        lambda seen: seen.probes.geometry.still,
    ),
    Figure(
        "FLAT_ATTENTION",
        FLAT_ATTENTION,
        "conditioning.constant-attention",
        lambda seen: seen.probes.attention.entropy,
    ),
    Figure(
        "STILL_ATTENTION",
        STILL_ATTENTION,
        "conditioning.constant-attention",
        lambda seen: seen.probes.attention.steps,
    ),
    Figure("BLIND_NATS", BLIND_NATS, "decoder.prefix-blind", lambda seen: seen.probes.prefix),
    Figure(
        "SHARPENED",
        SHARPENED,
        "decoder.overconfident",
        lambda seen: seen.probes.language.temperature,
    ),
    Figure(
        "GUESSED_RIGHT",
        GUESSED_RIGHT,
        "vocabulary.mismatch",
        lambda seen: seen.probes.language.accuracy,
    ),
    Figure(
        "RUNS_ASTRAY",
        RUNS_ASTRAY,
        "training.exposure-bias",
        lambda seen: seen.probes.running.late - seen.probes.running.people,
    ),
)


def look(captioner: Captioner, held: Set, seed: int) -> Seen:
    """Hear the test clips."""
    heard = encode_and_caption(captioner, str(held.world.test_audio), batch_size=32, seed=seed)
    names = [caption.file_name for caption in heard.captions]
    texts = match_references(read_references(held.world.test_captions), names, "test.csv")
    probes = ProbeCache(captioner, heard.sample, heard.chunks, heard.captions, texts, seed=seed)
    evaluator = DecodingEvaluator(Scorer(captioner, heard.chunks), texts, seed)
    return Seen(probes, evaluator.judge(heard.captions).listening)


def main() -> int:
    """Print the ranges."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--esc10", type=Path, default=Path("esc10"))
    parser.add_argument("--sets", default="synthesised,esc10")
    parser.add_argument("--architectures", default=",".join(ALL))
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    sound: dict[str, list[float]] = {}
    broken: dict[str, list[float]] = {}
    for name in given.sets.split(","):
        held = open_set(name, given.work, given.esc10)
        for architecture in given.architectures.split(","):
            for seed in range(given.seeds):
                captioner = trained(held, architecture, "sound", seed, given.work)[0].captioner
                _add(sound, FIGURES, captioner, held, seed)
                for fault in {figure.fault for figure in FIGURES}:
                    told = [figure for figure in FIGURES if figure.fault == fault]
                    changed = BREAKS[fault](captioner, around(captioner, held, seed))
                    if changed is not None:
                        _add(broken, told, changed, held, seed)
    for figure in FIGURES:
        ranges = " | ".join(_range(found.get(figure.name, [])) for found in (sound, broken))
        print(f"| `{figure.name}` {figure.threshold.value:g} | {ranges} | {figure.fault} |")
    return 0


def _add(
    found: dict[str, list[float]],
    figures: tuple[Figure, ...] | list[Figure],
    captioner: Captioner,
    held: Set,
    seed: int,
) -> None:
    seen = look(captioner, held, seed)
    for figure in figures:
        try:
            found.setdefault(figure.name, []).append(figure.measure(seen))
        except ProbeFailed:
            continue


def _range(values: list[float]) -> str:
    if not values:
        return "-"
    return f"{min(values):.3g} to {max(values):.3g} ({len(values)})"


if __name__ == "__main__":
    sys.exit(main())
