"""Where listening parts captioners that name the sounds from those that do not.

Captioners of the synthesised world are trained for ever more epochs, and each is decoded in
several ways. Beside the bits on its own captions and on references stands what the bits are to
predict: the share of true events that these captions name. A constant caption names two of sixteen
kinds, .12. The last lines give the highest bits of captions that name no more than that plus a
twentieth, and the lowest of captions that name twice as many.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path

import torch

from capfix_cli.captioners.own.own_captioner import OwnCaptioner
from capfix_cli.captioners.own.own_config import PRIORITY_2
from capfix_cli.captions.reference_file import match_references, read_references
from capfix_cli.core.thresholds import LISTENING_SHARE
from capfix_cli.decoding.decoding_options import GREEDY, DecodingOptions
from capfix_cli.decoding.encode_pass import encode_and_caption
from capfix_cli.demo.story import CONFIG, TRAINING, score
from capfix_cli.demo.synthetic_world import World, make_world
from capfix_cli.diagnosis.trials.decoding_evaluator import DecodingEvaluator
from capfix_cli.probes.pair_scoring import Scorer
from capfix_cli.training.caption_data import load_training_clips
from capfix_cli.training.training_loop import fit

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


CONSTANT = 2 / 16


def observe(captioner: OwnCaptioner, world: World) -> list[tuple[str, float, float, float]]:
    """Give each decoding's name, share of events named, and bits, own and on references."""
    heard = encode_and_caption(captioner, str(world.test_audio), batch_size=32, seed=0)
    names = [caption.file_name for caption in heard.captions]
    references = match_references(read_references(world.test_captions), names, "")
    truth = json.loads(world.truth.read_text())
    evaluator = DecodingEvaluator(Scorer(captioner, heard.chunks), references, 0)
    rows = []
    for options in DECODINGS:
        outcome = evaluator.observe(options)
        named = score({c.file_name: c.text for c in outcome.captions}, truth).named
        on_references = outcome.listening.reference_bits or 0.0
        rows.append((options.describe(), named, outcome.listening.bits, on_references))
    return rows


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
            rows = observe(fit(config, clips, options), world)
            print(f"{config.encoder.pooling} pooling, {config.conditioning}, {epochs} epochs")
            for name, named, bits, on_references in rows:
                print(
                    f"    {name:32s} names {named:.2f}: {bits:5.2f} bits, on references "
                    f"{on_references:5.2f}",
                    flush=True,
                )
                if named <= CONSTANT + 0.05:
                    deaf.append(min(bits, on_references))
                elif named >= 2 * CONSTANT:
                    sound.append(min(bits, on_references))
    print(f"highest of the deaf   {max(deaf):.2f} bits")
    print(f"lowest of the sound   {min(sound):.2f} bits")
    print(f"the threshold         {LISTENING_SHARE.value * 4.392:.2f} bits")


if __name__ == "__main__":
    main()
