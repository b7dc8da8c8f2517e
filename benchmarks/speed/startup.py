"""Start-up: light commands against the imports that they cannot do without, in turn.

    python -m benchmarks.speed.startup

``capfix --help`` is compared with ``import typer``, ``capfix measure`` of 100 captions with
``import numpy, scipy.sparse``.
"""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.result_files import write_result

ROUNDS = 20
SPOKEN = "a dog barks rain falls bell rings man speaks while birds sing and then car passes"
CAPFIX = [sys.executable, "-m", "capfix_cli"]
BASES = {
    "import typer": [sys.executable, "-c", "import typer"],
    "import numpy, scipy.sparse": [sys.executable, "-c", "import numpy, scipy.sparse"],
}


def captions(folder: Path) -> Path:
    """Write 100 captions of eight words."""
    draw = random.Random(0)
    rows = [f"{clip}.wav,{' '.join(draw.choices(SPOKEN.split(), k=8))}" for clip in range(100)]
    path = folder / "captions.csv"
    path.write_text("\n".join(["file_name,caption", *rows]) + "\n", encoding="utf-8")
    return path


def main() -> None:
    """Time every command in turn, so that load on the machine meets all alike."""
    with tempfile.TemporaryDirectory() as folder:
        path = captions(Path(folder))
        commands = {
            "capfix --help": ([*CAPFIX, "--help"], "import typer"),
            "capfix fixes": ([*CAPFIX, "fixes"], "import typer"),
            "capfix recommend": ([*CAPFIX, "recommend"], "import typer"),
            "capfix measure, 100 captions": (
                [*CAPFIX, "measure", str(path)],
                "import numpy, scipy.sparse",
            ),
        }
        every = BASES | {name: command for name, (command, _) in commands.items()}
        times: dict[str, list[float]] = {name: [] for name in every}
        for _ in range(ROUNDS):
            for name, command in every.items():
                begin = time.perf_counter()
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder)
                times[name].append(time.perf_counter() - begin)
    median = {name: statistics.median(values) for name, values in times.items()}
    figures = []
    for name, (_, base) in commands.items():
        ratio = median[name] / median[base]
        print(f"{name:30s} {1000 * median[name]:6.0f} ms   {ratio:.2f} x {base}")
        figures.append(
            {
                "command": name,
                "milliseconds": round(1000 * median[name], 1),
                "base": base,
                "base_milliseconds": round(1000 * median[base], 1),
                "ratio": round(ratio, 3),
            }
        )
    write_result("speed/startup", figures)


if __name__ == "__main__":
    main()
