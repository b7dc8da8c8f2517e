"""Memory of `capfix generate`: beam 5 over 10,000 short clips against 1,000; prints the ratio."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch

from capfix_cli.captioners.own.own_captioner import SPECIAL, OwnCaptioner
from capfix_cli.captioners.own.own_checkpoint import save
from capfix_cli.captioners.own.own_config import CaptionerConfig, EncoderConfig

SECONDS, RATE = 0.5, 16_000
SIZES = (1_000, 10_000)
CONFIG = CaptionerConfig(
    encoder=EncoderConfig(depth=2, channels=4, width=16), embedding=16, hidden=24, max_length=12
)

CHILD = """
import resource, sys
from capfix_cli.cli.app import main
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def main() -> None:
    """Caption both folders, each in a process of its own."""
    torch.manual_seed(0)
    words = [*SPECIAL, *(f"word{i}" for i in range(300))]
    with tempfile.TemporaryDirectory() as place:
        model = save(OwnCaptioner(CONFIG, words), Path(place, "model.pt"))
        peaks = {}
        for clips in SIZES:
            folder = Path(place, str(clips))
            folder.mkdir()
            for index in range(clips):
                noise = np.random.default_rng(index).standard_normal(round(SECONDS * RATE)) * 0.1
                soundfile.write(folder / f"{index:05d}.wav", noise, RATE)
            output = Path(place, f"{clips}.csv")
            given = [str(model), "--audio", str(folder), "--num-beams", "5", "-o", str(output)]
            began = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", CHILD, "generate", *given, "--quiet"],
                check=True,
                capture_output=True,
                text=True,
            )
            took = time.perf_counter() - began
            rows = output.read_text(encoding="utf-8").count("\n") - 1
            assert rows == clips, rows
            peaks[clips] = int(done.stdout) / 1024
            print(f"{clips} clips: {peaks[clips]:.0f} MiB at most, in {took:.0f} s", flush=True)
    print(f"ratio {peaks[SIZES[1]] / peaks[SIZES[0]]:.2f}")


if __name__ == "__main__":
    main()
