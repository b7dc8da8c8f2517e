"""How often the front end of training is recovered, for every pair of (trained with, fed with).

    python -m benchmarks.accuracy.causes_front_ends --work FOLDER   (models of causes.py)

A captioner whose first layer is a BatchNorm computes the same function of its features on any other
linear scale of them, once that layer's running statistics are moved along: training on the other
scale gives the same network up to its epsilon. So one trained captioner becomes six, exactly, and
no front end is better trained than another. Each is fed every other scale, as an adapter with the
wrong line would feed it.
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.accuracy.causes_training import Set, open_set, trained
from capfix_cli.audio.clip_sample import Sample
from capfix_cli.captioners.base import Captioner
from capfix_cli.captioners.own.own_captioner import OwnCaptioner
from capfix_cli.captions.reference_file import match_references, read_references
from capfix_cli.decoding.encode_pass import draw_sample, encode_and_caption
from capfix_cli.probes.captioner_variants import on_features, on_waveforms
from capfix_cli.probes.front_end_search import FITTED, Recovery, listen_quickly, recover

LN10 = math.log(10)
LOUD = 2 * math.log(32768)  # what full-scale integers add to the ln of power
# name -> (factor, offset) on the ln of power
SCALES: dict[str, tuple[float, float]] = {
    "ln of power": (1.0, 0.0),
    "log10 of power": (1 / LN10, 0.0),
    "dB": (10 / LN10, 0.0),
    "ln of magnitude": (0.5, 0.0),
    "ln of power, samples up to 32768": (1.0, LOUD),
    "standardised": (0.25, 1.5),  # (x + 6) / 4: about the mean and deviation of these sets
}


def trained_with(captioner: OwnCaptioner, factor: float, offset: float) -> OwnCaptioner:
    """Give the captioner that training on another scale would have given."""
    changed = copy.copy(captioner)
    changed.module = copy.deepcopy(captioner.module)
    norm = changed.module.encoder.input_norm
    with torch.no_grad():
        norm.running_mean.mul_(factor).add_(offset)  # type: ignore[operator, union-attr]
        norm.running_var.mul_(factor**2)  # type: ignore[operator, union-attr]
    return changed


def fed_with(captioner: OwnCaptioner, name: str) -> Captioner:
    """Feed it another scale; loud samples are made loud before the front end's own floor."""
    factor, offset = SCALES[name]
    change: Callable[[Tensor], Tensor] = lambda x: factor * x + offset  # noqa: E731
    if offset == LOUD:
        return on_waveforms(captioner, lambda samples: 32768 * samples)
    return on_features(captioner, change)


def pairs(
    captioner: OwnCaptioner,
    sample: Sample,
    references: dict[str, list[str]],
    fitted: Sample | None,
) -> tuple[int, int, int, list[str]]:
    """Try every pair: give how many, how many recovered, how many within 5 %, and the misses."""
    healthy = listen_quickly(captioner, sample, 0, references)
    if healthy is None:
        raise ValueError("the sound captioner is deaf")
    tried = right = near = 0
    missed = []
    for expected, (factor, offset) in SCALES.items():
        network = trained_with(captioner, factor, offset)
        for used in SCALES:
            if used == expected:
                continue
            tried += 1
            found = recover(
                fed_with(network, used), sample, 0, references, rates=False, fitted=fitted
            )
            known = _undoes(found, network, sample, expected, used)
            share = found.best.share if found.best is not None else found.current.share
            bits = share * healthy.ceiling_bits
            right += known
            near += bits >= 0.95 * healthy.deciding_bits
            if not known:
                name = found.best.front_end.name if found.best and found.best.front_end else "none"
                missed.append(f"{expected} <- {used}: {name}, {bits:.2f} bits")
    return tried, right, near, missed


@torch.inference_mode()
def _undoes(
    found: Recovery, network: OwnCaptioner, sample: Sample, expected: str, used: str
) -> bool:
    """Say whether what was found gives the features of training, whatever it is called."""
    best = found.best
    if best is None or best.front_end is None:
        return False
    waveforms, lengths = sample.cropped(8)
    right = fed_with(network, expected).features(waveforms, lengths)[0]
    mended = best.front_end.apply(fed_with(network, used))
    got = mended.features(waveforms, lengths)[0]
    return float((got - right).abs().mean()) < 0.1 * float(right.std())


def main() -> int:
    """Print how often each captioner's front end was recovered."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--esc10", type=Path, default=Path("esc10"))
    parser.add_argument("--sets", default="synthesised")
    parser.add_argument("--architectures", default="every-step,attention,transformer")
    parser.add_argument(
        "--train-audio", action="store_true", help="fit features on clips of the training set"
    )
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name in given.sets.split(","):
        held: Set = open_set(name, given.work, given.esc10)
        for architecture in given.architectures.split(","):
            captioner = trained(held, architecture, "sound", 0, given.work)[0].captioner
            if not isinstance(captioner, OwnCaptioner):
                raise TypeError(architecture)
            heard = encode_and_caption(
                captioner, str(held.world.test_audio), batch_size=32, seed=0, only_sample=True
            )
            fitted, note = None, ""
            if given.train_audio:
                folder = str(held.world.train_audio)
                fitted = draw_sample(folder, captioner.sample_rate, FITTED, 0)
                note = " with --train-audio"
            texts = read_references(held.world.test_captions)
            known = match_references(texts, list(heard.sample.names), "test.csv")
            references = {clip: list(own) for clip, own in known.items()}
            tried, right, near, missed = pairs(captioner, heard.sample, references, fitted)
            print(
                f"{name}, {architecture}{note}: {right} of {tried} recovered, {near} within 5 % of"
                " the healthy captioner's listening",
                flush=True,
            )
            for line in missed:
                print(f"  {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
