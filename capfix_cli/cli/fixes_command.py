"""``capfix fixes [ID]``."""

from __future__ import annotations

from typing import Annotated

import typer

from capfix_cli.cli import command_options as options


def command(
    name: Annotated[str | None, typer.Argument(metavar="[ID]", help="Its number or name.")] = None,
    as_json: options.JsonOption = False,
) -> None:
    """List the catalogue of fixes, or show one in full."""
    from capfix_cli.fixes.catalogue import FIXES, fix

    entry = fix(name) if name is not None else None
    if as_json:
        from capfix_cli.report.json_output import print_json

        print_json([spec.to_dict() for spec in FIXES] if entry is None else entry.to_dict())
        return
    from capfix_cli.report.terminal.plan_view import print_catalogue, print_fix
    from capfix_cli.report.terminal.style import make_console

    console = make_console()
    if entry is None:
        print_catalogue(console)
    else:
        print_fix(console, entry)
