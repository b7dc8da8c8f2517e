"""The side file of an output: a line for each clip as soon as it is captioned.

``OUT.part`` (and ``OUT.part.1``, ``OUT.part.2``, ... of further processes) says in its first line
what its captions were made with; a line for each clip follows, as a JSONL captions file has it, or
with the reason why the clip was skipped. Only whole lines count, so it can be cut off anywhere.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from capfix_cli import __version__
from capfix_cli.captions.captions_file import JSON_LINES, Predicted, from_row, to_row
from capfix_cli.core.errors import CapfixError
from capfix_cli.generation.manifest import SCHEMA, GenerationManifest, differences, made_from_header
from capfix_cli.schemas.clip_records import SkippedClip
from capfix_cli.schemas.record_reading import RecordError

CSV = (".csv", "")


def check_output(output: Path) -> None:
    """Fail before the work where its result could not be written.

    Raises:
        CapfixError: the file is there, its kind is unknown, or its folder cannot be written.
    """
    if output.exists() or output.is_symlink():
        raise CapfixError(f"{output} is there already.", "Name another file with --output.")
    suffix = output.suffix.lower()
    if suffix not in CSV and suffix not in JSON_LINES:
        near = ".jsonl" if suffix == ".json" else ".csv"
        raise CapfixError(
            f"--output {output} is neither .csv nor .jsonl.",
            f"Name it {output.with_suffix(near).name}.",
        )
    if not output.parent.is_dir() or not os.access(output.parent, os.W_OK | os.X_OK):
        raise CapfixError(f"{output} cannot be written.", "Name a file in a folder of yours.")


def part_path(output: Path, rank: int = 0) -> Path:
    """Name the side file of a process."""
    return output.with_name(f"{output.name}.part" + (f".{rank}" if rank else ""))


def part_paths(output: Path) -> list[Path]:
    """Find the side files that are there, of however many processes."""
    form = re.compile(re.escape(output.name) + r"\.part(?:\.(\d+))?")
    found = [
        (int(match[1] or 0), path)
        for path in output.parent.iterdir()
        if (match := form.fullmatch(path.name)) and path.is_file()
    ]
    return [path for _, path in sorted(found)]


def check_parts(output: Path, made: GenerationManifest) -> None:
    """Refuse side files that another command left.

    Raises:
        CapfixError: says which settings differ, or that a file is not capfix's.
    """
    for path in part_paths(output):
        header = read_header(path)
        changed = differences(header, made) if header is not None else []
        if changed:
            more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
            raise CapfixError(
                f"{path} holds captions of another command: {'; '.join(changed[:3])}{more}.",
                f"Name another file with --output, or delete {part_path(output)}* to begin anew.",
            )


def read_header(path: Path) -> GenerationManifest | None:
    """Read what a side file's captions were made with; None where it broke off before that.

    Raises:
        CapfixError: unreadable, or not a side file.
    """
    try:
        with path.open("rb") as file:
            line = file.readline()
    except OSError as error:
        raise CapfixError(
            f"{path} cannot be read: {error.strerror}.", "Name another file with --output."
        ) from error
    if not line.endswith(b"\n") and _OPENING[: len(line)] == line[: len(_OPENING)]:
        return None
    try:
        return made_from_header(json.loads(line))
    except (ValueError, RecursionError) as error:
        reason = f": {error.first()}" if isinstance(error, RecordError) else ""
        raise CapfixError(
            f"{path} is there and is not a side file of this version of capfix{reason}.",
            "Name another file with --output, or move that one away.",
        ) from error


_OPENING = json.dumps({"schema": SCHEMA})[:-1].encode()


def scan(path: Path) -> Iterator[tuple[int, Predicted | SkippedClip]]:
    """Read a side file line by line: where each line begins, and what it holds.

    What is not a whole line, or not one of ours, is passed over: its clip is done again.
    """
    with path.open("rb") as file:
        offset = len(file.readline())
        for line in file:
            found = parse(line)
            if found is not None:
                yield offset, found
            offset += len(line)


def parse(line: bytes) -> Predicted | SkippedClip | None:
    """Read a line of a side file; None where it is not a whole one."""
    if not line.endswith(b"\n"):
        return None
    try:
        row = json.loads(line)
        if "skipped" in row:
            kind = row.get("kind", "unreadable")
            return SkippedClip(str(row["file_name"]), str(row["skipped"]), kind)
        return from_row(row)
    except (ValueError, KeyError, TypeError):
        return None


def captioned_names(output: Path) -> set[str]:
    """Name the clips that need not be captioned again."""
    return {
        found.file_name
        for path in part_paths(output)
        for _, found in scan(path)
        if isinstance(found, Predicted)
    }


class Part:
    """The side file of this process, open for appending; a context manager.

    It is locked while it is open, ends in a whole line whenever it is left, and vanishes again if
    it holds no clip.

    Args:
        output: the file that will be made of it.
        made: what its captions are made with.
        rank: of this process.

    Raises:
        CapfixError: another process writes it, or it cannot be written.
    """

    def __init__(self, output: Path, made: GenerationManifest, rank: int = 0) -> None:
        self.path = part_path(output, rank)
        self.kept = 0  # captions written since it was opened
        self.first = self.end = 0  # bytes of the header line, and of all whole lines
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
            self.file = os.open(self.path, flags, 0o666)
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            _lock(self.file, self.path)
        except CapfixError:
            os.close(self.file)
            raise
        try:
            known = read_header(self.path)  # refuses what is not ours before any of it is cut off
            self.first, self.end = self._whole_lines() if known is not None else (0, 0)
            self._cut()
            if known is None:
                self._write(_line(made.to_header(__version__)))
                self.first = self.end
        except BaseException:
            os.close(self.file)
            raise

    def _whole_lines(self) -> tuple[int, int]:
        """Find where the first line ends, and where the last whole one does."""
        with self.path.open("rb") as file:
            first = end = len(file.readline())
            for line in file:
                if line.endswith(b"\n"):
                    end += len(line)
        return first, end

    def append(self, captions: Iterable[Predicted], skipped: Iterable[SkippedClip] = ()) -> None:
        """Write a batch: all of it, or nothing where there is no room.

        Raises:
            CapfixError: it cannot be written.
        """
        rows = list(captions)
        lines = [_line(to_row(row)) for row in rows]
        lines += [
            _line({"file_name": clip.path, "skipped": clip.reason, "kind": clip.kind})
            for clip in skipped
        ]
        self._write(b"".join(lines))
        self.kept += len(rows)

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self.file, rest) :]
        except OSError as error:
            self._cut()
            raise self._unwritable(error) from error
        self.end += len(data)

    def _cut(self) -> None:
        with contextlib.suppress(OSError):
            if os.fstat(self.file).st_size > self.end:
                os.ftruncate(self.file, self.end)

    def _unwritable(self, error: OSError) -> CapfixError:
        kept = "What was captioned before is safe in it: " if self.end > self.first else ""
        return CapfixError(
            f"{self.path} cannot be written: {error.strerror}.",
            f"{kept}mend that, and give the same command again.".capitalize(),
        )

    def close(self) -> None:
        """Cut off what is no whole line, and the file if it holds no clip."""
        if self.file < 0:
            return
        self._cut()
        if self.end == self.first:
            with contextlib.suppress(OSError):
                self.path.unlink()
        os.close(self.file)  # ends the lock
        self.file = -1

    def __enter__(self) -> Part:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(row).encode() + b"\n"


def _lock(file: int, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # no POSIX system
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise CapfixError(
            f"{path} is being written by another capfix.", "Wait for it, or name another --output."
        ) from error
    except OSError:
        pass  # a file system without locks
