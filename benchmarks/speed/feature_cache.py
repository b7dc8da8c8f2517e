"""A later epoch on cached features against the first one, which computes them.

    python -m benchmarks.speed.feature_cache [--clips 300]

Clips of ten seconds are written as FLAC at 44.1 kHz, as Clotho's are; a baseline is trained for one
epoch without a cache, and for more epochs with it. Printed: the first epoch (reading, resampling,
log-mel and training), a later one, and their ratio; at most a fifth is asked for. The step itself
costs the same in both, so the ratio of data alone stands beside it. A small captioner keeps the
step from hiding what is measured. Seconds are of this process's CPU (one thread computes, two
decode), which a busy machine does not stretch.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch

from capfix_cli.captioners.own.own_config import BASELINE, EncoderConfig, FrontEndConfig
from capfix_cli.training.caption_data import load_training_clips
from capfix_cli.training.item_order import Batches, Epochs
from capfix_cli.training.training_batches import TrainingBatches
from capfix_cli.training.training_config import TrainingConfig, TrainingOptions
from capfix_cli.training.training_loop import new_captioner, train

SECONDS, RATE, EPOCHS = 10.0, 44_100, 4
SMALL = dataclasses.replace(
    BASELINE,
    front_end=FrontEndConfig(n_fft=1024, hop_length=640),  # as the demo's
    encoder=EncoderConfig(depth=2, channels=2, width=32),
    embedding=32,
    hidden=32,
)


def write_clips(folder: Path, count: int) -> None:
    """Write noise and captions."""
    (folder / "clips").mkdir()
    lines = ["file_name,caption_1"]
    for number in range(count):
        generator = np.random.default_rng(number)
        noise = 0.1 * generator.standard_normal(round(SECONDS * RATE))
        soundfile.write(folder / "clips" / f"{number:05d}.flac", noise, RATE, subtype="PCM_16")
        lines.append(f"{number:05d}.flac,a sound number {number % 37} is heard far away")
    (folder / "train.csv").write_text("\n".join(lines) + "\n")


def main() -> None:
    """Time both and print the ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clips", type=int, default=300)
    given = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_clips(folder, given.clips)
        names = (folder / "train.csv", folder / "clips", SMALL.front_end)
        begin = time.process_time()
        clips = load_training_clips(*names, root=folder)
        computing = time.process_time() - begin
        begin = time.process_time()
        again = load_training_clips(*names, root=folder)
        found = time.process_time() - begin
        setup = TrainingConfig(SMALL, TrainingOptions(epochs=EPOCHS))
        marks: list[float] = []
        captioner = new_captioner(SMALL, again, 0)
        train(
            *(captioner, again, setup, captioner.encode_features),
            progress=lambda *told: marks.append(time.process_time()),
        )
        each = len(marks) // EPOCHS
        step = (marks[-1] - marks[each - 1]) / (len(marks) - each)
        later = step * each
        batches = Batches(Epochs(clips.captions, setup.training, setup.data), 32)
        data = TrainingBatches(clips, setup.augmentation, 0)
        begin = time.process_time()
        for part in batches:
            _ = data[part]
        reading = time.process_time() - begin
        size = clips.cached[1] if clips.cached is not None else 0
        print(f"{given.clips} clips of {SECONDS:g} s; cache {size / 2**20:.1f} MB")
        print(f"first epoch {computing + later:.2f} s (features {computing:.2f} s)")
        print(f"later epoch {later:.2f} s (data {reading:.2f} s)")
        print(f"another run finds its features in {found:.2f} s")
        print(
            f"load {os.getloadavg()[0]:.1f}; ratio {later / (computing + later):.3f},"
            f" of data alone {reading / computing:.3f}"
        )


if __name__ == "__main__":
    main()
