"""Progress on standard error: a bar on a terminal, a line a stage elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

QUIET_FOR = 2.0  # seconds that a stage may take before it is worth a line in a log


class Watcher:
    """Shows what is being done; a context manager and the pipeline's ``watch`` in one."""

    def __init__(self, *, quiet: bool = False, first: str = "loading PyTorch") -> None:
        self.quiet = quiet
        self.first = first
        self.stage = ""
        self.since = time.monotonic()
        self.told = False
        self.bar: Any = None
        self.task: Any = None
        self.lines: set[str] = set()

    def __enter__(self) -> Watcher:
        if not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                SpinnerColumn,
                TextColumn,
                TimeElapsedColumn,
            )

            self.bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self.bar.start()
        self(self.first, 0, 1)
        return self

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` of a stage is done."""
        if self.quiet:
            return
        # What stands in brackets changes within a stage, such as a loss.
        name = stage.partition(" (")[0]
        if self.bar is not None:
            if name != self.stage:
                if self.task is not None:
                    self.bar.remove_task(self.task)
                self.task = self.bar.add_task(stage, total=total)
            self.bar.update(self.task, completed=done, total=total, description=stage)
        elif name != self.stage:
            self.since, self.told = time.monotonic(), False
        elif not self.told and time.monotonic() - self.since > QUIET_FOR:
            sys.stderr.write(f"{name}: {done} of {total} ...\n")
            self.told = True
        self.stage = name

    def tell(self, line: str) -> None:
        """Write a line that must be read while the work goes on, once; nothing where quiet."""
        if self.quiet or line in self.lines:
            return
        self.lines.add(line)
        if self.bar is not None:
            self.bar.console.print(f"Note: {line}", markup=False, highlight=False, soft_wrap=True)
        else:
            sys.stderr.write(f"Note: {line}\n")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bar is not None:
            self.bar.stop()
