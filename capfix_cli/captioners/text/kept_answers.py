"""Answers kept on disk as they come, so that a run that was ended goes on where it was."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from capfix_cli.captioners.text.text_captioner import GivenClip, TextAnswer, Wish
from capfix_cli.core.errors import CapfixError

STORE = Path(".capfix") / "captions"


def key_of(clip: GivenClip, wish: Wish, again: int = 0, together: str = "") -> str:
    """Name what was asked: the clip's samples, how, for which time, and in which company."""
    about = {
        "clip": clip.digest,
        "own": clip.path is not None,
        "prompt": wish.prompt,
        "decoding": dict(sorted(wish.decoding.items())),
        "seed": wish.seed if wish.decoding else 0,
        "again": again,
        "together": together,
    }
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]


class KeptAnswers:
    """A file of answers, a JSON object a line; half a line at its end is left out.

    Args:
        root: the folder whose ``.capfix`` holds it.
        identity: what decides the captioner's answers.
        fresh: forget what is there.
    """

    def __init__(self, root: Path, identity: Mapping[str, Any], *, fresh: bool = False) -> None:
        text = json.dumps(identity, sort_keys=True, default=str)
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        self.path = root / STORE / f"{name}.jsonl"
        self.found: dict[str, TextAnswer] = {}
        self.since = ""  # when the first of those found was written
        self._lock = threading.Lock()
        self._file: TextIO | None = None
        if fresh:
            self.forget()
        else:
            self._read()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            written = self.path.stat().st_mtime
            for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
                with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
                    row = json.loads(line)
                    self.found[str(row["key"])] = TextAnswer(
                        str(row["text"]), row.get("ended"), row.get("logprob"), int(row["tokens"])
                    )
            self.since = time.strftime("%Y-%m-%d %H:%M", time.localtime(written))

    def get(self, key: str) -> TextAnswer | None:
        """Give an answer that was given before."""
        return self.found.get(key)

    def put(self, key: str, answer: TextAnswer) -> None:
        """Write an answer down at once.

        Raises:
            CapfixError: there is no room, or no right to write.
        """
        row = {
            "key": key,
            "text": answer.text,
            "ended": answer.ended,
            "logprob": answer.logprob,
            "tokens": answer.tokens,
        }
        with self._lock:
            self.found[key] = answer
            try:
                if self._file is None:
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                    self._file = self.path.open("a", encoding="utf-8")
                    self._file.write("\n" if self.found and self.path.stat().st_size else "")
                self._file.write(json.dumps(row) + "\n")
                self._file.flush()
            except OSError as error:
                raise CapfixError(
                    f"Captions cannot be kept in {self.path}: {error.strerror}.",
                    "Work in a folder that you may write to.",
                ) from error

    def forget(self) -> None:
        """Throw away what was kept."""
        self.close()
        self.found.clear()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Write no more."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None
