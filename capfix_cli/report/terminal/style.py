"""What all terminal reports share."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

VERDICT_STYLES = {
    "healthy": "bold green",
    "generic": "bold yellow",
    "degenerate": "bold red",
    "collapsed": "bold red",
    "ungrounded": "bold magenta",
}
VERDICT_WORDS = {
    "healthy": "captions differ, and the audio decides them",
    "generic": "the audio decides the captions, but they repeat",
    "degenerate": "captions are no sentences",
    "collapsed": "captions repeat, and the audio does not decide them",
    "ungrounded": "captions differ, but the audio does not decide them",
}
STATUS_STYLES = {
    "needed": "bold",
    "done": "green",
    "not-applicable": "dim",
    "unknown": "dim",
}
PIPED_WIDTH = 100  # columns where standard output is no terminal


def make_console(*, stderr: bool = False) -> Console:
    """Make a console that does not decorate what is not asked for."""
    console = Console(stderr=stderr, highlight=False, emoji=False)
    if not console.is_terminal and console.width == 80:
        console.width = PIPED_WIDTH
    return console


def heading(text: str) -> Text:
    """A section's title."""
    return Text(f"\n{text}", style="bold")


def columns(*names: str, ratio_last: bool = True) -> Table:
    """A table without lines, its last column taking the room that is left."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", expand=True)
    for number, name in enumerate(names):
        last = number == len(names) - 1
        table.add_column(
            name,
            overflow="fold",
            ratio=1 if last and ratio_last else None,
            no_wrap=not last,
        )
    return table


def share(value: float) -> str:
    """A share as percent."""
    return f"{100 * value:.0f} %"


def verdict_line(verdict: str, *, listened: bool = True) -> Text:
    """The verdict in its colour, and what it means."""
    words = VERDICT_WORDS[verdict]
    if not listened:
        words = f"{words.partition(',')[0]}; listening could not be judged"
    return Text(verdict.upper(), style=VERDICT_STYLES[verdict]).append(f"  {words}", "default")
