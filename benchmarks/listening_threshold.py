"""Where listening parts captioners that name the sounds from those that do not.

Captioners of the synthesised world are trained for ever more epochs, and each is decoded in
several ways. Beside the bits on its own captions and on references stands what the bits are to
predict: the share of true events that its greedy captions name, against the share that a constant
caption names. The last lines give the highest bits of a captioner that names no more than the
constant caption does (plus a tenth), and the lowest of one that names half of the events.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path

import torch

from capfix_cli.captioners.own.captioner import OwnCaptioner
from capfix_cli.captioners.own.config import PRIORITY_2
from capfix_cli.decoding.options import GREEDY, DecodingOptions
from capfix_cli.demo.show import CONFIG, TRAINING, score
from capfix_cli.demo.world import World, make_world
from capfix_cli.diagnosis.hearing import hear
from capfix_cli.fixes.trials import Laboratory
from capfix_cli.measures.captions_file import match_references, read_references
from capfix_cli.probes.scoring import Scorer
from capfix_cli.recipes.data import load_training_clips
from capfix_cli.recipes.training import fit
from capfix_cli.thresholds import LISTENING_SHARE

REPAIRED = dataclasses.replace(PRIORITY_2, front_end=CONFIG.front_end)
TRAININGS = [(CONFIG, epochs) for epochs in (2, 8, 32)] + [
    (REPAIRED, epochs) for epochs in (1, 2, 3, 4, 5, 6, 8, 16)
]
DECODINGS = (
    GREEDY,
    DecodingOptions(do_sample=True, temperature=0.8, top_p=0.9),
    DecodingOptions(do_sample=True, temperature=1.5),
    DecodingOptions(contrast=3.0),
)


def observe(captioner: OwnCaptioner, world: World) -> tuple[float, list[tuple[str, float, float]]]:
    """Give the share of events named greedily, and each decoding's bits, own and on references."""
    heard = hear(captioner, str(world.test_audio), batch_size=32, seed=0)
    names = [caption.file_name for caption in heard.captions]
    references = match_references(read_references(world.test_captions), names, "")
    truth = json.loads(world.truth.read_text())
    laboratory = Laboratory(Scorer(captioner, heard.chunks), references, 0)
    named = score({c.file_name: c.text for c in heard.captions}, truth).named
    rows = []
    for options in DECODINGS:
        listening = laboratory.observe(options).listening
        rows.append((options.describe(), listening.bits, listening.reference_bits or 0.0))
    return named, rows


def main() -> None:
    """Train, observe and print."""
    torch.manual_seed(0)
    deaf: list[float] = []
    sound: list[float] = []
    with tempfile.TemporaryDirectory() as place:
        world = make_world(Path(place, "world"), 480, 128, 0)
        clips = load_training_clips(world.train_captions, world.train_audio, CONFIG.front_end)
        for config, epochs in TRAININGS:
            smoothing = 0.1 if config is REPAIRED else 0.0
            options = dataclasses.replace(TRAINING, epochs=epochs, label_smoothing=smoothing)
            named, rows = observe(fit(config, clips, options), world)
            kind = f"{config.encoder.pooling} pooling, {config.conditioning}"
            print(f"{kind}, {epochs} epochs: names {named:.2f} of the events", flush=True)
            for name, bits, on_references in rows:
                print(f"    {name:32s} {bits:5.2f} bits, on references {on_references:5.2f}")
                if named <= 2 / 16 + 0.1:  # a constant caption names two of sixteen kinds
                    deaf.append(bits)
                elif named >= 0.5:
                    sound.append(bits)
    print(f"highest of the deaf   {max(deaf):.2f} bits")
    print(f"lowest of the sound   {min(sound):.2f} bits")
    print(f"the threshold         {LISTENING_SHARE.value * 4.392:.2f} bits")


if __name__ == "__main__":
    main()
