"""``capfix adapter new MODEL`` and ``capfix adapter check FILE``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capfix_cli.cli import command_options as options
from capfix_cli.cli.progress_bars import Watcher
from capfix_cli.core.errors import CapfixError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capfix_cli.captioners.contract.clauses import Clause

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
    adapter: Annotated[
        str, typer.Argument(metavar="FILE.py[:FACTORY]|MODULE:CLASS", help="The adapter.")
    ],
    model: Annotated[str, typer.Argument(help="The checkpoint that it loads.")] = "",
    audio: options.ClipsToCompareOption = None,
    captions: options.OwnCaptionsOption = None,
    generate: options.OwnGenerateOption = None,
    loss: options.OwnLossOption = None,
    references: options.ReferencesOption = None,
    network_args: options.NetworkArgsOption = None,
    front_end: options.FrontEndOption = None,
    sample_rate: options.RateOption = None,
    vocabulary: options.VocabularyOption = None,
    bos: options.BosOption = None,
    eos: options.EosOption = None,
    pad: options.PadOption = None,
    trust: options.TrustOption = False,
    features: options.FeaturesOption = None,
    feature_field: options.FeatureFieldOption = None,
    prompt: options.PromptOption = None,
    device: options.DeviceOption = "cpu",
    as_json: options.JsonOption = False,
) -> None:
    """Try an adapter clause by clause, and hold its captions against your own."""
    from capfix_cli.diagnosis.adapter_check import check_adapter

    if not adapter.endswith(".py") and Path(adapter).is_file():
        raise CapfixError(
            f"{adapter} is no Python file.",
            "The adapter comes first: capfix adapter check FILE.py MODEL",
        )
    if audio is None and not features and (captions or generate or loss):
        raise CapfixError("Your own captions are of clips.", "Give them: --audio DIR")
    if loss is not None and references is None:
        raise CapfixError("--loss is of captions.", "Give them: --references CSV")
    given = options.about_model(model or None, options.model_options(context))
    settings = options.settings(adapter, device, 32, 0, references, given)
    with Watcher(quiet=as_json) as progress:
        clauses = check_adapter(
            model,
            dataclasses.replace(
                settings,
                own_captions=captions,
                own_generate=generate,
                features=options.one_source(None, features, feature_field, needed=False),
                feature_field=feature_field,
            ),
            progress,
            audio=audio,
            loss=loss,
        )
    _show(adapter, clauses, as_json=as_json)


def _show(adapter: str, clauses: Sequence[Clause], *, as_json: bool) -> None:
    """Print the clauses.

    Raises:
        CapfixError: one is broken.
    """
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
