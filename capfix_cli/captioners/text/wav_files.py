"""Clips as files, for captioners that are given paths."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path

from capfix_cli.captioners.text.text_captioner import GivenClip


class ClipFiles:
    """Hands out paths of clips; copies are written as WAV under names that tell nothing.

    Copies lie in a folder that goes with this object.
    """

    def __init__(self) -> None:
        self._folder: Path | None = None

    def path_of(self, clip: GivenClip) -> str:
        """Give a clip's own file, or that of its copy."""
        if clip.path is not None:
            return str(clip.path.absolute())
        path = self.folder / f"clip-{clip.digest[:16]}.wav"
        if not path.exists():
            path.write_bytes(clip.wav())
        return str(path)

    @property
    def folder(self) -> Path:
        """Where copies lie."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="capfix-clips-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder
