"""Captions as they come, on the terminal: how far it is, how fast, and the latest of them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from capfix_cli.captions.captions_file import printable
from capfix_cli.schemas.clip_records import ClipCaption

LATEST = 8  # captions in the table: it should leave room on a terminal of 24 lines
CAPTIONING = "captioning"  # the stage whose speed is shown


class CaptionTable:
    """A live table; a context manager and the pipeline's ``watch`` in one.

    Args:
        console: of the terminal.
        scroll: captions pass above the table as lines instead of standing in it.
    """

    def __init__(self, console: Console, *, scroll: bool = False) -> None:
        self.console = console
        self.scroll = scroll
        self.latest: deque[ClipCaption] = deque(maxlen=LATEST)
        self.stage = ""
        self.since: float | None = None  # when captioning began
        self.at_first = 0  # clips that were done by then
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
            expand=True,
        )
        self.task = self.progress.add_task("", total=None, speed="")
        self.live = Live(console=console, get_renderable=self.render, transient=True)

    def render(self) -> RenderableType:
        """Give what stands on the terminal now."""
        if not self.latest or self.scroll:
            return self.progress
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), expand=True)
        table.add_column("clip", style="dim", no_wrap=True, overflow="ellipsis", max_width=32)
        table.add_column("latest captions", no_wrap=True, overflow="ellipsis", ratio=1)
        for caption in self.latest:
            table.add_row(Text(shown(caption.file_name)), Text(shown(caption.text)))
        return Group(self.progress, table)

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` of a stage is done."""
        if stage != self.stage:
            self.stage = stage
            self.progress.reset(self.task, description=stage, total=total, speed="")
        speed = self.speed(done) if stage == CAPTIONING else ""
        self.progress.update(self.task, completed=done, total=total, speed=speed)

    def speed(self, done: int) -> str:
        """Say how many clips a second were captioned since the first batch was."""
        now = time.monotonic()
        if self.since is None:
            self.since, self.at_first = now, done
        passed = now - self.since
        return f"{(done - self.at_first) / passed:.1f} clips/s" if passed > 0 else ""

    def show(self, captions: Sequence[ClipCaption]) -> None:
        """Take the captions of a batch."""
        self.latest.extend(captions)
        if self.scroll and captions:
            # At once: the table is drawn anew below every print.
            self.console.print(Text("\n".join(map(line, captions))), soft_wrap=True)

    def __enter__(self) -> CaptionTable:
        self.live.start(refresh=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.live.stop()


def line(caption: ClipCaption) -> str:
    """Give a clip and its captions in one line, separated by tabs."""
    texts = (caption.text, *(other.text for other in caption.others))
    return "\t".join(map(shown, (caption.file_name, *texts)))


def shown(text: str) -> str:
    """Make a text fit for a line: no tabs and no line ends."""
    return printable(" ".join(part for part in text.replace("\t", " ").splitlines() if part))
