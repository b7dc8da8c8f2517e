"""``capfix adapter new MODEL`` and ``capfix adapter check FILE``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from capfix_cli.cli import command_options as options
from capfix_cli.core.errors import CapfixError

app = typer.Typer(
    help="Write an adapter for a checkpoint, or test one.",
    rich_markup_mode=None,
    no_args_is_help=True,
)


@app.command("new")
def new(
    model: Annotated[str, typer.Argument(help="A checkpoint.", show_default=False)],
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE.py", help="Where to write it.")
    ] = None,
) -> None:
    """Write an adapter from what the checkpoint's shapes tell, with the gaps marked."""
    from capfix_cli.captioners.adapter_template import GAP, new_adapter

    text = new_adapter(model)
    if output is None:
        typer.echo(text, nl=False)
        return
    try:
        with Path(output).open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise CapfixError(f"{output} is there already.", "Name another file.") from error
    except OSError as error:
        raise CapfixError(
            f"{output} cannot be written: {error.strerror}.", "Name a file in a folder of yours."
        ) from error
    gaps = text.count(f"{GAP}: ")
    typer.echo(f"{output} has {gaps} gaps to fill, marked {GAP}; then:", err=True)
    typer.echo(f"  capfix adapter check {output} {model}", err=True)


@app.command("check")
def check(
    context: typer.Context,
    adapter: Annotated[str, typer.Argument(metavar="FILE.py[:FACTORY]", help="The adapter.")],
    model: Annotated[str, typer.Argument(help="The checkpoint that it loads.")] = "",
    vocabulary: options.VocabularyOption = None,
    bos: options.BosOption = None,
    eos: options.EosOption = None,
    pad: options.PadOption = None,
    trust: options.TrustOption = False,
    prompt: options.PromptOption = None,
    device: options.DeviceOption = "cpu",
    as_json: options.JsonOption = False,
) -> None:
    """Try an adapter on synthetic audio, clause by clause of the contract."""
    from capfix_cli.captioners.adapters import load_with_adapter
    from capfix_cli.captioners.contract.contract_check import check_contract
    from capfix_cli.checkpoints.model_options import use

    if not adapter.endswith(".py") and Path(adapter).is_file():
        raise CapfixError(
            f"{adapter} is no Python file.",
            "The adapter comes first: capfix adapter check FILE.py MODEL",
        )
    with use(options.about_model(model or None, options.model_options(context))):
        captioner = load_with_adapter(adapter, model, device)
    if captioner.module is not None:
        captioner.module.eval()
    clauses = check_contract(captioner)
    broken = [clause for clause in clauses if not clause.kept]
    if as_json:
        from capfix_cli.report.json_output import print_json

        print_json({"adapter": adapter, "kept": not broken, "clauses": clauses})
    else:
        for clause in clauses:
            mark = "-" if clause.note else "ok" if clause.kept else "BROKEN"
            typer.echo(f"{mark:>6}  {clause.name}: {clause.what}")
    if broken:
        first = broken[0]
        raise CapfixError(
            f"{adapter} breaks the contract at {first.name}: {first.what}.",
            "docs/adapters.md shows a working adapter of each kind.",
        )
