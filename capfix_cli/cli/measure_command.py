"""``capfix measure CAPTIONS.csv ...``."""

from __future__ import annotations

from typing import Annotated

import typer

from capfix_cli.cli import command_options as options
from capfix_cli.cli.progress_bars import Watcher

ColumnOption = Annotated[
    str | None, typer.Option("--column", metavar="NAME", help="Holds the captions to be judged.")
]
ReferencesColumnsOption = Annotated[
    str | None,
    typer.Option("--references-columns", metavar="NAME,...", help="Hold what people say."),
]
IdColumnOption = Annotated[
    str | None, typer.Option("--id-column", metavar="NAME", help="Tells clips apart.")
]
MetricsOption = Annotated[
    str | None,
    typer.Option("--metrics", metavar="NAME,...", help="By aac-metrics: spider, fense, ..."),
]
SemanticOption = Annotated[
    bool, typer.Option("--semantic", help="Measure meaning too, by a sentence-embedding model.")
]
SemanticModelOption = Annotated[
    str | None,
    typer.Option("--semantic-model", metavar="FOLDER", help="The model for --semantic."),
]
TrainingOption = Annotated[
    str | None,
    typer.Option("--training", metavar="CSV", help="Captions trained on: how many are new?"),
]


def command(
    captions: Annotated[
        list[str],
        typer.Argument(help="CSV or JSONL; further files are tested against the first."),
    ],
    references: options.ReferencesOption = None,
    column: ColumnOption = None,
    references_columns: ReferencesColumnsOption = None,
    id_column: IdColumnOption = None,
    metrics: MetricsOption = None,
    semantic: SemanticOption = False,
    semantic_model: SemanticModelOption = None,
    training: TrainingOption = None,
    seed: options.SeedOption = 0,
    fail_on: options.FailOnOption = None,
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
) -> None:
    """Judge captions that are there already; with references, whether the audio decides them."""
    verdicts = options.parse_verdicts(fail_on)
    with Watcher(quiet=quiet, first="reading captions") as progress:
        from capfix_cli.captions.caption_layouts import Columns
        from capfix_cli.diagnosis.judge_captions import MeasureRequest, measure_files
        from capfix_cli.measures.external_metrics import parse_metrics

        names = tuple(part.strip() for part in (references_columns or "").split(",") if part)
        request = MeasureRequest(
            columns=Columns(column, names, id_column),
            references=references,
            metrics=parse_metrics(metrics),
            semantic=semantic or semantic_model is not None,
            semantic_model=semantic_model,
            training=training,
            seed=seed,
        )
        found = measure_files(captions, request, progress)
    if as_json:
        from capfix_cli.report.json_output import print_json

        print_json(found)
    elif quiet:
        for file in found.files:
            typer.echo(file.verdict if len(found.files) == 1 else f"{file.path}\t{file.verdict}")
    else:
        from capfix_cli.report.terminal.measure_view import print_measurement
        from capfix_cli.report.terminal.style import make_console

        print_measurement(make_console(), found)
    if verdicts & {file.verdict for file in found.files}:
        from capfix_cli.core.errors import EXIT_VERDICT

        raise typer.Exit(EXIT_VERDICT)
