"""``capfix inspect MODEL``."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from capfix_cli import __version__
from capfix_cli.cli import command_options as options


def command(
    model: Annotated[str, typer.Argument(help="A checkpoint file.")],
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="OLD", help="An older one: which fixes were done?"),
    ] = None,
    as_json: options.JsonOption = False,
) -> None:
    """Show what is inside a checkpoint, without running its code."""
    from capfix_cli.checkpoints.inspection import inspect_checkpoint

    found = dataclasses.replace(inspect_checkpoint(model), capfix_version=__version__)
    if against is not None:
        from capfix_cli.fixes.rewrites.rewrite_confirmation import all_done

        done = all_done(inspect_checkpoint(against), found)
        found = dataclasses.replace(found, against=against, fixes=done)
    if as_json:
        from capfix_cli.report.json_output import print_json

        print_json(found)
        return
    from capfix_cli.report.terminal.inspection_view import print_inspection
    from capfix_cli.report.terminal.style import make_console

    print_inspection(make_console(), found)
