"""``capfix demo``."""

from __future__ import annotations

from typing import Annotated

import typer

from capfix_cli.cli import command_options as options
from capfix_cli.cli.progress_bars import Watcher


def command(
    folder: Annotated[
        str,
        typer.Argument(help="A new folder; clips, captioners and runs are kept in it."),
    ] = "capfix-demo",
    seed: options.SeedOption = 0,
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
) -> None:
    """See all of it on sounds it makes itself: collapse, diagnosis, repair, proof."""
    from pathlib import Path

    with Watcher(quiet=quiet) as progress:
        from capfix_cli.demo.story import run_demo

        result = run_demo(Path(folder), seed, progress=progress)
    if as_json:
        from capfix_cli.report.json_output import print_json

        print_json(result)
        return
    from capfix_cli.demo.demo_view import print_demo
    from capfix_cli.report.terminal.style import make_console

    print_demo(make_console(), result, folder)
