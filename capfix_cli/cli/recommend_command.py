"""``capfix recommend [RUN]``."""

from __future__ import annotations

from typing import Annotated

import typer

from capfix_cli.cli import command_options as options


def command(
    run: Annotated[
        str | None, typer.Argument(help="A run's id or folder; the latest if none.")
    ] = None,
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
) -> None:
    """Show the plan: which fixes, in which order, and why."""
    from capfix_cli.fixes.plan import general_plan
    from capfix_cli.runs.run_store import all_runs, find_run

    found = find_run(run) if run is not None or all_runs() else None
    if found is None:
        plan = general_plan()
        about = (
            "No run here yet: this is the general plan. "
            "`capfix diagnose MODEL --audio DIR` makes it yours."
        )
    else:
        diagnosis = found.diagnosis()
        plan = diagnosis.plan
        about = f"Run {found.id}: {diagnosis.model.path}, {diagnosis.verdict}"
    if as_json:
        from capfix_cli.report.json_output import print_json

        print_json({"run": found.id if found else None, "plan": plan})
        return
    from capfix_cli.report.terminal.plan_view import print_plan
    from capfix_cli.report.terminal.style import make_console

    console = make_console()
    if not quiet:
        console.print(about)
    print_plan(console, plan)
    if found is not None and diagnosis.recipe:
        console.print(
            f"\nNext: capfix retrain {diagnosis.recipe} --captions TRAIN.csv --audio TRAIN_DIR",
            soft_wrap=True,
        )
