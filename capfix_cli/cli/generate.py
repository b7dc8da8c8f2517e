"""``capfix generate [MODEL] [--audio DIR]``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from capfix_cli.cli import options
from capfix_cli.cli.progress import Watcher
from capfix_cli.errors import CapfixError

if TYPE_CHECKING:
    from capfix_cli.diagnosis.hearing import Heard
    from capfix_cli.runs import Run


def command(
    model: Annotated[
        str | None, typer.Argument(help="A checkpoint; the latest run's if none.")
    ] = None,
    audio: Annotated[
        str | None, typer.Option("--audio", metavar="DIR", help="Clips; the latest run's if none.")
    ] = None,
    temperature: options.TemperatureOption = None,
    top_k: options.TopKOption = None,
    top_p: options.TopPOption = None,
    num_beams: options.BeamsOption = None,
    length_penalty: options.LengthPenaltyOption = None,
    contrast: options.ContrastOption = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="CSV", help="Write a captions file.")
    ] = None,
    adapter: options.AdapterOption = None,
    vocabulary: options.VocabularyOption = None,
    bos: options.BosOption = None,
    eos: options.EosOption = None,
    pad: options.PadOption = None,
    trust: options.TrustOption = False,
    device: options.DeviceOption = "cpu",
    batch_size: options.BatchOption = 32,
    seed: options.SeedOption = 0,
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
) -> None:
    """Caption a folder of clips, decoding as told or as the latest run found best."""
    if output is not None:
        _check_output(Path(output))
    with Watcher(quiet=quiet) as watch:
        from capfix_cli import pipeline
        from capfix_cli.decoding.options import GREEDY, options_from_dict

        chosen = options.decoding(temperature, top_k, top_p, num_beams, length_penalty, contrast)
        best: dict[str, Any] | None = None
        if model is None or audio is None:
            run = _latest(model, audio)
            known = run.command()
            if model is None:
                model, adapter = str(known["model"]), adapter or known.get("adapter")
                # Trust is given anew each time; what the words are stays as it was told.
                told = known.get("given") or {}
                vocabulary = vocabulary or told.get("vocabulary")
                bos, eos = bos or told.get("bos"), eos or told.get("eos")
                pad = pad or told.get("pad")
                best = run.diagnosis().best_decoding
            audio = audio or str(known["audio"])
            if not quiet:
                typer.echo(f"Run {run.id}: {model} on {audio}", err=True)
        decoding = chosen or (options_from_dict(best) if best else GREEDY)
        if not quiet:
            typer.echo(f"Decoding: {decoding.describe()}", err=True)
        given = options.about_model(model, vocabulary, bos, eos, pad, trust)
        settings = options.settings(adapter, device, batch_size, seed, None, given)
        heard = pipeline.generate(model, audio, decoding, settings, watch)
    _give(heard, {"model": model, "decoding": decoding.to_dict(), "seed": seed}, output, as_json)
    if heard.audio.skipped and not quiet:
        first = heard.audio.skipped[0]
        count = len(heard.audio.skipped)
        typer.echo(f"{count} files skipped ({first.path}: {first.reason})", err=True)


def _give(heard: Heard, about: dict[str, Any], output: str | None, as_json: bool) -> None:
    """Hand the captions over as they were asked for: a file, JSON, or a line a clip."""
    if output is not None:
        from capfix_cli.measures.captions_file import write_captions

        write_captions(Path(output), heard.captions, {})
        typer.echo(f"{len(heard.captions)} captions written to {output}", err=True)
    if as_json:
        from capfix_cli.report.machine import print_json

        captions = [
            {"file_name": caption.file_name, "caption_predicted": caption.text}
            for caption in heard.captions
        ]
        print_json({**about, "captions": captions, "skipped": heard.audio.skipped})
    elif output is None:
        for caption in heard.captions:
            typer.echo(f"{caption.file_name}\t{caption.text}")


def _latest(model: str | None, audio: str | None) -> Run:
    """Give the run that names what the command line did not.

    Raises:
        CapfixError: there is none, or it does not say.
    """
    from capfix_cli.runs import find_run

    try:
        run = find_run(None)
    except CapfixError as error:
        missing = " and no ".join(
            name for name, value in (("model", model), ("--audio", audio)) if value is None
        )
        raise CapfixError(
            f"There is no {missing} given, and no run here to take it from.",
            "Give MODEL --audio DIR, or run `capfix diagnose MODEL --audio DIR` first.",
        ) from error
    if not {"model", "audio"} <= set(run.command()):
        raise CapfixError(
            f"The run {run.id} does not say what it was made from.", "Give MODEL --audio DIR."
        )
    return run


def _check_output(path: Path) -> None:
    """Fail before the work where its result could not be written.

    Raises:
        CapfixError: the file is there, or its folder is not or cannot be written.
    """
    import os

    if path.exists():
        raise CapfixError(f"{path} is there already.", "Name another file with --output.")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise CapfixError(f"{path} cannot be written.", "Name a file in a folder of yours.")
