"""What the trainer costs over a bare PyTorch loop on the same model and the same batches.

    python -m benchmarks.speed.trainer_overhead [--pairs 6]

Both train the document's baseline on the same clips, in pairs whose order alternates; the bare loop
computes the loss, steps AdamW and clips the gradient, and nothing else. The ratio of each pair's
times is printed, and their median: at most 1.05 is asked for. Times are of this process's CPU,
which a busy machine does not stretch; the wall clock stands beside them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

import numpy as np
import torch

from capfix_cli.captioners.own.own_config import BASELINE
from capfix_cli.training.item_order import Batches, Epochs
from capfix_cli.training.training_batches import TrainingBatches
from capfix_cli.training.training_clips import TrainingClips
from capfix_cli.training.training_config import TrainingConfig, TrainingOptions
from capfix_cli.training.training_loop import new_captioner, train

CLIPS, FRAMES, EPOCHS = 128, 250, 3  # five seconds each
SENTENCE = "a dog barks loudly and then rain falls on the roof while an engine hums far away"


def made_clips() -> TrainingClips:
    """Clips of noise with captions of Clotho's length."""
    generator = np.random.default_rng(0)
    words = SENTENCE.split()
    features = [
        torch.from_numpy(generator.standard_normal((FRAMES, 64)).astype(np.float16))
        for _ in range(CLIPS)
    ]
    captions = [[" ".join(generator.choice(words, 11))] for _ in range(CLIPS)]
    return TrainingClips(features, captions, names=[str(n) for n in range(CLIPS)])


def bare(setup: TrainingConfig, clips: TrainingClips) -> float:
    """CPU seconds of the bare loop."""
    options = setup.training
    captioner = new_captioner(setup.model, clips, 0)
    batches = Batches(Epochs(clips.captions, options, setup.data), options.batch_size)
    data = TrainingBatches(clips, setup.augmentation, 0)
    network = captioner.module
    network.train()
    begin = time.process_time()
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
    )
    for epoch in range(options.epochs):
        batches.set_epoch(epoch)
        for part in batches:
            batch = data[part]
            loss = captioner.feature_loss(batch["signals"], batch["lengths"], batch["captions"])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(network.parameters(), options.gradient_clip)
            optimizer.step()
    return time.process_time() - begin


def ours(setup: TrainingConfig, clips: TrainingClips) -> float:
    """CPU seconds of the trainer, its own start included."""
    captioner = new_captioner(setup.model, clips, 0)
    begin = time.process_time()
    train(captioner, clips, setup, captioner.encode_features, progress=lambda *given: None)
    return time.process_time() - begin


def main() -> None:
    """Time pairs and print their ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=6)
    given = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    clips = made_clips()
    setup = TrainingConfig(BASELINE, TrainingOptions(epochs=EPOCHS))
    short = setup.change("training", epochs=1)
    ours(short, clips)  # imports and caches
    bare(short, clips)
    ratios = []
    for pair in range(given.pairs):
        order = (bare, ours) if pair % 2 == 0 else (ours, bare)
        seconds, wall = {}, {}
        for run in order:
            begin = time.perf_counter()
            seconds[run.__name__] = run(setup, clips)
            wall[run.__name__] = time.perf_counter() - begin
        ratios.append(seconds["ours"] / seconds["bare"])
        print(
            f"pair {pair + 1}: bare {seconds['bare']:.2f} s, trainer {seconds['ours']:.2f} s,"
            f" ratio {ratios[-1]:.3f}; wall {wall['bare']:.2f} s and {wall['ours']:.2f} s",
            flush=True,
        )
    print(f"load {os.getloadavg()[0]:.1f}; median ratio {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    main()
