"""``--caption-command 'python infer.py {audio}'``: a program from files to printed captions."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from capfix_cli.captioners.text.printed_answers import read_printed
from capfix_cli.captioners.text.text_captioner import (
    CallFailed,
    GivenClip,
    TextAnswer,
    TextCaptioner,
    Wish,
)
from capfix_cli.captioners.text.user_function import TookTooLongError
from capfix_cli.captioners.text.wav_files import ClipFiles
from capfix_cli.checkpoints.formats.file_stamp import stamp_of
from capfix_cli.core.errors import CapfixError

EXAMPLE = "For example: --caption-command 'python infer.py {audio}'"
MOST_PRINTED = 4_000_000  # bytes: 400 words for each of a thousand clips are two million
SHOWN = 200  # characters of what a command complains of


class CommandCaptioner(TextCaptioner):
    """A command that prints captions; it runs without a shell.

    Args:
        command: the command line, in which ``{audio}`` stands for a clip's path, or ``{list}``
            for the path of a text file that names one clip a line; ``{prompt}`` and ``{model}``
            may stand in it too.
        model: for ``{model}``.
        clips_a_call: most clips of a list.
        call_timeout: seconds that a call may take.

    Raises:
        CapfixError: the command names no clip, or there is no such program.
    """

    by_file = True
    parallel = True

    def __init__(
        self,
        command: str,
        *,
        model: str | None = None,
        clips_a_call: int = 32,
        call_timeout: float = 120.0,
    ) -> None:
        try:
            self.words = shlex.split(command)
        except ValueError as error:
            raise CapfixError(f"--caption-command cannot be read: {error}.", EXAMPLE) from error
        self.command = command
        self.model = model
        self.call_timeout = call_timeout
        self.files = ClipFiles()
        self._running: set[subprocess.Popen[bytes]] = set()
        lists = any("{list}" in word for word in self.words)
        if not lists and not any("{audio}" in word for word in self.words):
            raise CapfixError(f"--caption-command {command!r} names no clip.", EXAMPLE)
        if "{model}" in command and model is None:
            raise CapfixError("--caption-command has {model} in it, and none is given.", EXAMPLE)
        if shutil.which(self.words[0]) is None:
            raise CapfixError(f"There is no program {self.words[0]!r}.", EXAMPLE)
        self.clips_a_call = clips_a_call if lists else 1
        self.takes_prompt = "{prompt}" in command
        if any(word in {"|", ">", "&&", ";", "2>", "<"} for word in self.words):
            raise CapfixError(
                "--caption-command runs without a shell, so that |, > and && do nothing in it.",
                "Put them into a script: --caption-command 'sh infer.sh {audio}'",
            )

    def answer(self, clips: Sequence[GivenClip], wish: Wish) -> list[TextAnswer]:
        """Run the command on one clip, or on a list."""
        if self.takes_prompt and wish.prompt is None:
            raise CapfixError(
                "--caption-command has {prompt} in it, and none is given.", "Add --prompt TEXT."
            )
        paths = [self.files.path_of(clip) for clip in clips]
        filled = {"{audio}": paths[0], "{prompt}": wish.prompt or "", "{model}": self.model or ""}
        with contextlib.ExitStack() as stack:
            if self.clips_a_call > 1 or "{list}" in self.command:
                file = stack.enter_context(
                    tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8")
                )
                file.write("".join(f"{path}\n" for path in paths))
                file.flush()
                filled["{list}"] = file.name
            words = [_filled(word, filled) for word in self.words]
            printed = self._run(words, clips[0].name)
        try:
            return read_printed(printed, paths, f"The command {self.words[0]}")
        except CapfixError as error:
            raise CallFailed(error.message, error.hint) from error

    def _run(self, words: Sequence[str], clip: str) -> str:
        """Run it and give what it printed.

        Raises:
            CallFailed: it failed on this clip.
            TookTooLongError: it gave no answer in time, and was ended with all that it started.
            CapfixError: it cannot be started, or prints without an end.
        """
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise CapfixError(
                f"{words[0]} cannot be started: {error.strerror}.", EXAMPLE
            ) from error
        late = threading.Event()

        def end() -> None:
            late.set()
            _kill(process)

        timer = threading.Timer(self.call_timeout, end)
        timer.start()
        self._running.add(process)
        try:
            out, complaint, flooded = _drain(process)
            status = process.wait()
        finally:
            timer.cancel()
            self._running.discard(process)
            if process.poll() is None:  # whatever ended the reading, nothing of it goes on
                _kill(process)
                process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        if flooded:
            raise CapfixError(
                f"The command printed over {MOST_PRINTED // 1_000_000} MB for {clip}.",
                "Print the caption alone, or none of its logs on standard output.",
            )
        if late.is_set():
            raise TookTooLongError(
                f"The command gave no answer for {clip} in {self.call_timeout:g} s.",
                "Allow more with --call-timeout SECONDS; {list} starts it once for many clips.",
            )
        if status:
            last = complaint.decode("utf-8", "replace").strip().splitlines()
            told = f": {last[-1].strip()[:SHOWN].rstrip('.')}" if last else ""
            ran = shlex.join(words)
            raise CallFailed(
                f"The command ended with status {status} on {clip}{told}.",
                f"Run it yourself: {ran}",
            )
        return out.decode("utf-8", "replace")

    def stop(self) -> None:
        """End the commands that still run, with all that they started."""
        for process in list(self._running):
            _kill(process)

    def identity(self) -> Mapping[str, Any]:
        """The command, and the files in it as they are now."""
        named = [word for word in self.words if Path(word).is_file()]
        stamps = [stamp_of(name) for name in named]
        return {"command": self.command, "files": stamps, "model": stamp_of(self.model)}


def _filled(word: str, filled: Mapping[str, str]) -> str:
    for mark, value in filled.items():
        word = word.replace(mark, value)
    return word


def _drain(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes, bool]:
    """Read both outputs at once, no more than is bearable; flooding ends it."""
    assert process.stdout is not None
    assert process.stderr is not None
    complaint = bytearray()
    stderr = process.stderr

    def read_complaint() -> None:
        with contextlib.suppress(ValueError, OSError):
            while part := os.read(stderr.fileno(), 65_536):
                complaint.extend(part)
                del complaint[:-65_536]  # the end tells what went wrong

    reader = threading.Thread(target=read_complaint, daemon=True)
    reader.start()
    out = bytearray()
    flooded = False
    while part := os.read(process.stdout.fileno(), 65_536):
        out.extend(part)
        if len(out) > MOST_PRINTED:
            flooded = True
            _kill(process)
            break
    reader.join(timeout=1.0)
    return bytes(out), bytes(complaint), flooded


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a command and all that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
