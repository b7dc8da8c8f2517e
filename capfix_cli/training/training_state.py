"""What a training keeps on disk while it runs, so that a kill loses minutes at most.

``last.ckpt`` is Lightning's own checkpoint after the latest epoch, or in the middle of a long one:
weights, optimiser, loops and callbacks. Draws are functions of the seed, the epoch and the step, so
there is no generator's state to keep. ``best.ckpt`` has the weights of the epoch that listened most
on held-out clips.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from capfix_cli.captioners.base import Captioner
from capfix_cli.core.files import whole_file
from capfix_cli.training.feature_cache import disk_error
from capfix_cli.training.training_clips import TrainingClips
from capfix_cli.training.training_config import TrainingConfig

LAST, BEST, LAST_GOOD = "last.ckpt", "best.ckpt", "last-good.pt"
LAYOUT = 2  # of the state's files; a training begun by another layout starts anew


def fingerprint(
    setup: TrainingConfig,
    captioner: Captioner,
    clips: TrainingClips,
    held_out: TrainingClips | None,
) -> str:
    """Name a training by all that decides its outcome: recipe, vocabulary, clips and captions."""
    told = {
        "layout": LAYOUT,
        "setup": dataclasses.asdict(setup),
        "vocabulary": list(captioner.vocabulary),
        "clips": [clips.names, clips.captions],
        "held_out": None if held_out is None else [held_out.names, held_out.captions],
        "frames": [len(clips.features), int(clips.features[0].shape[0])],
    }
    text = json.dumps(told, sort_keys=True).encode("utf-8", "surrogateescape")
    return hashlib.blake2b(text, digest_size=8).hexdigest()


def write_whole(path: Path, write: Callable[[str], Any]) -> None:
    """Write a file beside its place and move it there: it is whole or not there.

    Raises:
        CapfixError: the disk is full or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as part:
            write(part)
    except (OSError, RuntimeError) as error:
        # torch.save tells a full disk as a RuntimeError of its own file writer.
        if isinstance(error, RuntimeError) and "write" not in str(error).lower():
            raise
        known = error if isinstance(error, OSError) else OSError(*_full(path), str(error))
        raise disk_error(known, str(path)) from error


def _full(path: Path) -> tuple[int]:
    """Guess the error number that PyTorch's writer swallowed."""
    import errno

    free = shutil.disk_usage(path.parent).free
    return (errno.ENOSPC if free < 2**24 else errno.EIO,)


def clean(folder: Path) -> None:
    """Remove a training's folder once its captioner is saved, and the one around it if empty."""
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.parent.rmdir()
