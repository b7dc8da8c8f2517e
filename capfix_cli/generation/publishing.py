"""From side files to the output: sorted by name, and under its name only when it is whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence, Set
from pathlib import Path

from capfix_cli.captions.captions_file import (
    JSON_LINES,
    NAMES,
    Predicted,
    write_predicted,
)
from capfix_cli.core.errors import CapfixError
from capfix_cli.generation.partial_output import parse, scan
from capfix_cli.schemas.clip_records import SkippedClip

Rank = tuple[int, int]  # which side file, and where in it the line begins


def find_lines(
    parts: Sequence[Path], names: Set[str]
) -> tuple[dict[str, Rank], dict[str, SkippedClip]]:
    """Find the line of each clip of the folder, and why others have none.

    Args:
        parts: side files.
        names: clips that are in the folder now; others were taken out of it meanwhile.
    """
    lines: dict[str, Rank] = {}
    skipped: dict[str, SkippedClip] = {}
    for number, path in enumerate(parts):
        for offset, found in scan(path):
            if isinstance(found, SkippedClip):
                skipped[found.path] = found
            elif found.file_name in names:
                lines.setdefault(found.file_name, (number, offset))
    reasons = {name: clip for name, clip in skipped.items() if name in names - lines.keys()}
    return lines, reasons


def publish(
    output: Path,
    parts: Sequence[Path],
    lines: dict[str, Rank],
    captions: int,
    each: Callable[[Predicted], None] | None = None,
) -> None:
    """Write the output from side files, one line of them in memory at a time.

    Args:
        output: a name that is free; ``.jsonl`` and ``.ndjson`` get objects, all else CSV.
        parts: side files.
        lines: as :func:`find_lines` gave them.
        captions: most that a clip has.
        each: called with every row in order.

    Raises:
        CapfixError: the output is there by now, or cannot be written; the side files stay.
    """
    temporary = output.with_name(f".{output.name}.whole")

    def rows() -> Iterator[Predicted]:
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(path.open("rb")) for path in parts]
            for name in sorted(lines):
                number, offset = lines[name]
                files[number].seek(offset)
                row = parse(files[number].readline())
                assert isinstance(row, Predicted), name
                if each is not None:
                    each(row)
                yield row

    try:
        with temporary.open("w", encoding="utf-8", errors=NAMES, newline="") as file:
            json_lines = output.suffix.lower() in JSON_LINES
            write_predicted(file, rows(), captions, json_lines=json_lines)
            file.flush()
            os.fsync(file.fileno())
        _place(temporary, output)
    except OSError as error:
        raise CapfixError(
            f"{output} cannot be written: {error.strerror}.",
            "All captions are safe beside it: mend that, and give the same command again.",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _place(temporary: Path, output: Path) -> None:
    """Give a file its name in one step, unless another has it."""
    taken = CapfixError(
        f"{output} is there by now.", "Move it away, and give the same command again."
    )
    try:
        output.hardlink_to(temporary)  # unlike a rename it never replaces
    except FileExistsError as error:
        raise taken from error
    except OSError:  # a file system without hard links
        if output.exists():
            raise taken from None
        temporary.rename(output)
