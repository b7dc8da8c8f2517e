"""``capfix generate [MODEL] [--audio DIR]``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from capfix_cli.cli import command_options as options
from capfix_cli.cli import text_options as text
from capfix_cli.cli.generate_inputs import GenerateInputs, complete
from capfix_cli.cli.progress_bars import Watcher
from capfix_cli.core.errors import CapfixError

if TYPE_CHECKING:
    from capfix_cli.captions.captions_file import Predicted
    from capfix_cli.generation.caption_folder import Delivery, Generated
    from capfix_cli.report.terminal.generation_view import CaptionTable
    from capfix_cli.schemas.clip_records import ClipCaption

INTERRUPTED = 130  # as shells report SIGINT


@text.with_text_options
def command(
    context: typer.Context,
    model: options.ModelOrLatest = None,
    audio: options.AudioOrLatest = None,
    features: options.FeaturesOption = None,
    feature_field: options.FeatureFieldOption = None,
    temperature: options.TemperatureOption = None,
    top_k: options.TopKOption = None,
    top_p: options.TopPOption = None,
    min_p: options.MinPOption = None,
    typical_p: options.TypicalOption = None,
    num_beams: options.BeamsOption = None,
    num_beam_groups: options.GroupsOption = None,
    diversity_penalty: options.DiversityOption = None,
    length_penalty: options.LengthPenaltyOption = None,
    early_stopping: options.EarlyStoppingOption = None,
    repetition_penalty: options.RepetitionOption = None,
    no_repeat_ngram_size: options.NgramOption = None,
    min_new_tokens: options.MinTokensOption = None,
    max_new_tokens: options.MaxTokensOption = None,
    num_captions: options.CaptionsOption = None,
    num_candidates: options.CandidatesOption = None,
    rerank: options.RerankOption = None,
    contrast: options.ContrastOption = None,
    contrast_cutoff: options.CutoffOption = None,
    contrast_against: options.AgainstOption = None,
    decoding: options.DecodingOption = None,
    output: options.CaptionFileOption = None,
    network: options.NetworkOption = None,
    network_args: options.NetworkArgsOption = None,
    front_end: options.FrontEndOption = None,
    sample_rate: options.RateOption = None,
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
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
) -> None:
    """Caption a folder of clips, decoding as told or as the latest run found best."""
    source = text.source_of(context)
    given = replace(options.model_options(context), source=source)
    chosen = options.decoding_of(context, decoding)
    speaks = _speaks(output)
    quiet = quiet or not speaks
    arrays = options.one_source(audio, features, feature_field, needed=False)
    asked = GenerateInputs(model, audio, adapter, given, chosen, arrays, feature_field)
    work = complete(asked, quiet=quiet)
    _generate(work, output, device, batch_size, seed, as_json=as_json, quiet=quiet, speaks=speaks)


def _generate(
    work: GenerateInputs,
    output: str | None,
    device: str,
    batch_size: int,
    seed: int,
    *,
    as_json: bool,
    quiet: bool,
    speaks: bool,
) -> None:
    """Caption, and say what came of it."""
    target = Path(output) if output is not None else None
    if target is not None:
        _check(target, work, seed)
    if not quiet:
        typer.echo(f"Decoding: {work.options.describe()}{work.found_by}", err=True)
    view, table = _view(quiet, target, as_json)
    rows: list[dict[str, Any]] = []
    delivery: Delivery | None = None
    try:
        with view as progress:
            from capfix_cli import api as pipeline
            from capfix_cli.generation.caption_folder import Delivery

            delivery = Delivery(target)
            _deliver_to(delivery, table, rows if as_json else None)
            given = options.about_model(work.model, work.given)
            settings = replace(
                options.settings(work.adapter, device, batch_size, seed, None, given),
                features=work.features,
                feature_field=work.feature_field,
            )
            generated = pipeline.generate(
                *(work.model, work.clips, work.options, settings, progress),
                delivery=delivery,
            )
    except KeyboardInterrupt:
        if speaks:
            _say([_stopped(delivery)])
        raise typer.Exit(INTERRUPTED) from None
    if not speaks:
        return
    if as_json:
        about = {"model": work.name, "decoding": work.options.to_dict(), "seed": seed}
        _print_json({**about, "output": output} if output else about, rows, generated)
    if not quiet:
        from capfix_cli.generation.summary import tell

        _say(tell(generated, delivery))


def _speaks(output: str | None) -> bool:
    """Say whether this process prints: the only one, or the first of several.

    Raises:
        CapfixError: several processes, and no file to bring their captions together in.
    """
    from capfix_cli.generation.distributed import find_place

    place = find_place()
    if place is None:
        return True
    if output is None:
        raise CapfixError(
            f"{place.world} processes need --output to bring their captions together.",
            "Add --output FILE.csv, in a folder that all of them see.",
        )
    return place.rank == 0


def _check(target: Path, work: GenerateInputs, seed: int) -> None:
    """Fail before PyTorch is loaded where the output could not be written or resumed.

    Raises:
        CapfixError: says why.
    """
    from capfix_cli.generation.manifest import build_manifest
    from capfix_cli.generation.partial_output import check_output, check_parts

    check_output(target)
    made = build_manifest(
        *(work.name, work.clips, work.options, seed, work.adapter),
        given=work.given,
        feature_field=work.feature_field,
    )
    check_parts(target, made)


def _view(
    quiet: bool, target: Path | None, as_json: bool
) -> tuple[AbstractContextManager[Any], CaptionTable | None]:
    """Choose what shows the work: a live table on a terminal, plain lines elsewhere."""
    if quiet or not sys.stderr.isatty():
        return Watcher(quiet=quiet), None
    from capfix_cli.report.terminal.generation_view import CaptionTable
    from capfix_cli.report.terminal.style import make_console

    scroll = target is None and not as_json and sys.stdout.isatty()
    table = CaptionTable(make_console(stderr=True), scroll=scroll)
    table("loading PyTorch", 0, 1)
    return table, table


def _say(words: list[str]) -> None:
    for line in words:
        typer.echo(line, err=True)


def _stopped(delivery: Delivery | None) -> str:
    if delivery is None:
        return "Stopped before the first clip."
    from capfix_cli.generation.summary import stopped

    return stopped(delivery)


def _deliver_to(
    delivery: Delivery, table: CaptionTable | None, rows: list[dict[str, Any]] | None
) -> None:
    """Hand captions on as they were asked for: to a file, as JSON, or as a line a clip."""
    from capfix_cli.captions.captions_file import predicted, printable
    from capfix_cli.report.terminal.generation_view import line

    out = sys.stdout  # while an adapter runs, what it prints is led elsewhere

    def keep(row: Predicted) -> None:
        assert rows is not None
        several = {"captions": list(row.captions)} if len(row.captions) > 1 else {}
        name = printable(row.file_name)
        rows.append({"file_name": name, "caption_predicted": row.captions[0], **several})

    def show(captions: Sequence[ClipCaption]) -> None:
        if table is not None:
            table.show(captions)
        if delivery.output is not None or (table is not None and table.scroll):
            return
        if rows is not None:
            for caption in captions:
                keep(predicted(caption))
            return
        out.write("".join(f"{line(caption)}\n" for caption in captions))
        out.flush()

    delivery.show = show
    if rows is not None:
        delivery.each = keep


def _print_json(about: dict[str, Any], rows: list[dict[str, Any]], generated: Generated) -> None:
    from capfix_cli.captions.captions_file import printable
    from capfix_cli.report.json_output import print_json

    skipped = [{"path": printable(clip.path), "reason": clip.reason} for clip in generated.skipped]
    rows.sort(key=lambda row: str(row["file_name"]))
    print_json({**about, "captions": rows, "skipped": skipped})
