"""Start-up: `capfix --help` against `python -c "import typer"`, in turn; the ratio is printed."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

ROUNDS = 20
COMMANDS = {
    "import typer": [sys.executable, "-c", "import typer"],
    "capfix --help": [sys.executable, "-m", "capfix_cli", "--help"],
    "capfix fixes": [sys.executable, "-m", "capfix_cli", "fixes"],
    "capfix recommend": [sys.executable, "-m", "capfix_cli", "recommend"],
}


def main() -> None:
    """Time every command in turn, so that load on the machine meets all alike."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, command in COMMANDS.items():
            begin = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            times[name].append(time.perf_counter() - begin)
    base = statistics.median(times["import typer"])
    for name, values in times.items():
        median = statistics.median(values)
        print(f"{name:18s} {1000 * median:6.0f} ms   {median / base:.2f} x import typer")


if __name__ == "__main__":
    main()
