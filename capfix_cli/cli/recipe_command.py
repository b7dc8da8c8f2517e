"""``capfix recipe list`` and ``capfix recipe validate FILE``."""

from __future__ import annotations

from typing import Annotated

import typer

from capfix_cli.cli import command_options as options

app = typer.Typer(help="The recipes that ship with capfix, and checking one of your own.")


@app.command("list")
def list_recipes(as_json: options.JsonOption = False) -> None:
    """List the recipes that ship, one a priority of the plan; copy one and adapt it."""
    from capfix_cli.training.shipped import shipped

    rows = shipped()
    if as_json:
        from capfix_cli.report.json_output import print_json

        print_json(rows)
        return
    from capfix_cli.report.terminal.recipes_view import print_recipes
    from capfix_cli.report.terminal.style import make_console

    print_recipes(make_console(), rows)


@app.command()
def validate(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A recipe.")],
    as_json: options.JsonOption = False,
) -> None:
    """Check a recipe; every error in it is listed at once."""
    from capfix_cli.training.recipe_reading import read_recipe
    from capfix_cli.training.shipped import locate

    found = read_recipe(locate(file))
    fixes = list(found.recipe.fixes)
    if as_json:
        from capfix_cli.report.json_output import print_json

        print_json({"path": file, "fixes": fixes, "warnings": list(found.warnings)})
        return
    for warning in found.warnings:
        typer.echo(f"Warning: {warning}", err=True)
    typer.echo(f"{file} is a sound recipe: fixes {', '.join(fixes) or 'none'}.")
