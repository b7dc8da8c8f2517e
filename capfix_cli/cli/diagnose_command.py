"""``capfix diagnose MODEL --audio DIR``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from capfix_cli.cli import command_options as options
from capfix_cli.cli import text_options as text
from capfix_cli.cli.progress_bars import Watcher
from capfix_cli.core.errors import CapfixError

if TYPE_CHECKING:
    from capfix_cli.schemas.diagnosis_record import Diagnosis


@text.with_text_options
def command(
    context: typer.Context,
    model: Annotated[
        str | None, typer.Argument(help="A checkpoint, if one is run.", show_default=False)
    ] = None,
    audio: options.AudioOption = None,
    features: options.FeaturesOption = None,
    feature_field: options.FeatureFieldOption = None,
    references: options.ReferencesOption = None,
    train_captions: Annotated[
        str | None,
        typer.Option("--train-captions", metavar="CSV", help="Captions that it was trained on."),
    ] = None,
    train_audio: options.TrainAudioOption = None,
    training_config: options.TrainingConfigOption = None,
    network: options.NetworkOption = None,
    network_args: options.NetworkArgsOption = None,
    front_end: options.FrontEndOption = None,
    sample_rate: options.RateOption = None,
    captions: options.OwnCaptionsOption = None,
    generate: options.OwnGenerateOption = None,
    adapter: options.AdapterOption = None,
    vocabulary: options.VocabularyOption = None,
    bos: options.BosOption = None,
    eos: options.EosOption = None,
    pad: options.PadOption = None,
    trust: options.TrustOption = False,
    prompt: options.PromptOption = None,
    device: options.DeviceOption = "cpu",
    batch_size: options.BatchOption = 32,
    seed: options.SeedOption = 0,
    fail_on: options.FailOnOption = None,
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
) -> None:
    """Find out what is wrong with a captioner, and what repairs it."""
    verdicts = options.parse_verdicts(fail_on)
    arrays = options.one_source(audio, features, feature_field)
    _check_training(train_audio, train_captions, arrays)
    source = text.source_of(context)
    text.needs_model(model, source)
    with Watcher(quiet=quiet, first=text.opens_with(source)) as progress:
        from capfix_cli import api as pipeline

        given = replace(options.model_options(context), source=source)
        given = options.about_model(model, given)
        settings = replace(
            options.settings(adapter, device, batch_size, seed, references),
            model=options.about_model(model, given),
            train_captions=train_captions,
            train_audio=train_audio,
            training_config=training_config,
            own_captions=captions,
            own_generate=generate,
            features=arrays,
            feature_field=feature_field,
        )
        diagnosis = pipeline.diagnose(model, audio or "", settings, progress)
    _show(diagnosis, as_json=as_json, quiet=quiet)
    options.fail_on(diagnosis, verdicts)


def _check_training(audio: str | None, captions: str | None, features: tuple[str, ...]) -> None:
    """Refuse audio of training that nothing can be made of.

    Raises:
        CapfixError: without captions, or beside features.
    """
    if audio is not None and captions is None:
        raise CapfixError("--train-audio needs captions.", "Add --train-captions CSV.")
    if audio is not None and features:
        raise CapfixError("--train-audio is audio, and clips are features.", "Leave it out.")


def _show(diagnosis: Diagnosis, *, as_json: bool, quiet: bool) -> None:
    """Print a diagnosis as it was asked for."""
    if as_json:
        from capfix_cli.report.json_output import print_json

        print_json(diagnosis)
    elif quiet:
        typer.echo(diagnosis.verdict)
    else:
        from capfix_cli.report.terminal.diagnosis_view import print_diagnosis
        from capfix_cli.report.terminal.style import make_console

        print_diagnosis(make_console(), diagnosis)
