"""Memory of a diagnosis: 5,000 short clips against 500; the ratio of peaks is printed."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import torch

from capfix_cli.captioners.own.own_captioner import SPECIAL, OwnCaptioner
from capfix_cli.captioners.own.own_checkpoint import save
from capfix_cli.captioners.own.own_config import PRIORITY_3

SECONDS, RATE = 1.0, 16_000

CHILD = """
import os, resource, sys
from pathlib import Path
from capfix_cli.api import Settings, diagnose
diagnose(sys.argv[1], sys.argv[2], Settings(root=Path(sys.argv[3])))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def main() -> None:
    """Diagnose both folders, each in a process of its own."""
    torch.manual_seed(0)
    words = [*SPECIAL, *(f"word{i}" for i in range(300))]
    with tempfile.TemporaryDirectory() as place:
        model = save(OwnCaptioner(PRIORITY_3, words), Path(place, "model.pt"))
        peaks = {}
        for clips in (500, 5_000):
            folder = Path(place, str(clips))
            folder.mkdir()
            for index in range(clips):
                noise = np.random.default_rng(index).standard_normal(round(SECONDS * RATE)) * 0.1
                soundfile.write(folder / f"{index:05d}.wav", noise, RATE)
            done = subprocess.run(
                [sys.executable, "-c", CHILD, str(model), str(folder), place],
                check=True,
                capture_output=True,
                text=True,
            )
            peaks[clips] = int(done.stdout) / 1024
            print(f"{clips} clips: {peaks[clips]:.0f} MiB at most")
    print(f"ratio {peaks[5_000] / peaks[500]:.2f}")


if __name__ == "__main__":
    main()
