"""``capfix retrain RECIPE --captions CSV --audio DIR``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from capfix_cli.cli import command_options as options
from capfix_cli.cli.progress_bars import Watcher

if TYPE_CHECKING:
    from capfix_cli.schemas.retraining_record import Retraining

RecipeArgument = Annotated[
    str,
    typer.Argument(help="A recipe that `capfix diagnose` wrote, or one of `capfix recipe list`."),
]
CaptionsOption = Annotated[
    str | None,
    typer.Option("--captions", metavar="FILE", help="Training captions, as `measure` reads them."),
]
TrainingAudioOption = Annotated[
    str | None,
    typer.Option("--audio", metavar="PATH", callback=options.not_empty, help="The training clips."),
]
TestAudioOption = Annotated[
    str | None,
    typer.Option(
        "--test-audio",
        metavar="PATH",
        callback=options.not_empty,
        help="Clips to diagnose on; the run's if none.",
    ),
]
TestFeaturesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--test-features", metavar="PATH", help="Features to diagnose on; the run's if none."
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", metavar="MODEL", help="The captioner before, if not the recipe's."),
]
DatasetOption = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        metavar="NAME[:SUBSET]",
        help="Clotho, AudioCaps, MACS or WavCaps of aac-datasets; --audio is then its root.",
    ),
]
OutputOption = Annotated[
    str | None,
    typer.Option("--output", "-o", metavar="FILE", help="The checkpoint to write."),
]
EpochsOption = Annotated[
    int | None, typer.Option("--epochs", min=1, help="Instead of the recipe's.")
]
ControlOption = Annotated[
    bool,
    typer.Option(
        "--control/--no-control",
        help="Train the same model without the fixes too, at the same budget.",
    ),
]
LogsOption = Annotated[
    str | None,
    typer.Option("--logs", metavar="DIR", help="Write CSV logs, and TensorBoard's, there."),
]


def command(
    recipe: RecipeArgument,
    captions: CaptionsOption = None,
    audio: TrainingAudioOption = None,
    test_audio: TestAudioOption = None,
    features: options.FeaturesOption = None,
    test_features: TestFeaturesOption = None,
    feature_field: options.FeatureFieldOption = None,
    model: ModelOption = None,
    adapter: options.AdapterOption = None,
    dataset: DatasetOption = None,
    references: options.ReferencesOption = None,
    output: OutputOption = None,
    epochs: EpochsOption = None,
    control: ControlOption = True,
    logs: LogsOption = None,
    device: options.DeviceOption = "cpu",
    batch_size: options.BatchOption = 32,
    seed: options.SeedOption = 0,
    fail_on: options.FailOnOption = None,
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
) -> None:
    """Run a recipe, save the captioner, and prove it: before, control, after."""
    verdicts = options.parse_verdicts(fail_on)
    arrays = options.one_source(audio, features, feature_field, needed=False)
    with Watcher(quiet=quiet) as progress:
        from capfix_cli.api import retrain
        from capfix_cli.training.dataset_sources import open_dataset
        from capfix_cli.training.shipped import locate

        opened = None
        if dataset is not None:
            name, _, subset = dataset.partition(":")
            opened = open_dataset(name, audio or ".", subset)
        path = locate(recipe)
        result = retrain(
            path,
            captions,
            audio,
            replace(
                options.settings(adapter, device, batch_size, seed, references),
                features=arrays,
                feature_field=feature_field,
            ),
            test_features=tuple(test_features or ()),
            test_audio=test_audio,
            # What ships lies in the installation, where nothing of the user's belongs.
            output=output or ("repaired.pt" if path != recipe else None),
            control=control,
            epochs=epochs,
            model=model,
            logs=logs,
            dataset=opened,
            progress=progress,
        )
    _show(result, as_json=as_json, quiet=quiet)
    options.fail_on(result.after, verdicts)


def _show(result: Retraining, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        from capfix_cli.report.json_output import print_json

        print_json(result)
    elif quiet:
        typer.echo(result.after.verdict)
    else:
        from capfix_cli.report.terminal.retraining_view import print_retraining
        from capfix_cli.report.terminal.style import make_console

        print_retraining(make_console(), result)
