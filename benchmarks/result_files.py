"""Results of benchmarks as JSON files, with what they were measured on."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
SCHEMA = "capfix.benchmark/1"


def write_result(name: str, figures: Any, folder: Path = RESULTS) -> Path:
    """Store the figures of a benchmark beside the commit, the machine and the date.

    Args:
        name: of the benchmark, such as ``speed/startup``.
        figures: plain values.
        folder: of all results.

    Returns:
        The file, ``<folder>/<name>.json``.
    """
    path = folder / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    result = {
        "schema": SCHEMA,
        "benchmark": name,
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "machine": machine(),
        "figures": figures,
    }
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return path


def read_result(name: str, folder: Path = RESULTS) -> dict[str, Any]:
    """Read a stored result.

    Raises:
        FileNotFoundError: the benchmark was not run.
        ValueError: a file of another kind.
    """
    found: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    if found.get("schema") != SCHEMA:
        raise ValueError(f"{name} is no result of a benchmark")
    return found


def commit() -> str:
    """Name the commit that is measured, marked where files differ from it; empty without git."""
    here = Path(__file__).parent
    told = []
    for command in (("rev-parse", "--short=12", "HEAD"), ("status", "--porcelain", "-uno")):
        try:
            done = subprocess.run(
                ["git", *command], cwd=here, capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError):
            return ""
        told.append(done.stdout.strip())
    return told[0] + ("+changes" if told[1] else "")


def machine() -> dict[str, Any]:
    """Describe processor, cores and versions; nothing that names a machine or its owner."""
    return {
        "processor": platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "numpy")},
    }
