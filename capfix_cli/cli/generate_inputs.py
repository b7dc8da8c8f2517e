"""What ``capfix generate`` works on: as the command line says, else as the latest run has it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from capfix_cli.core.errors import CapfixError

if TYPE_CHECKING:
    from capfix_cli.checkpoints.model_options import ModelOptions
    from capfix_cli.decoding.decoding_options import DecodingOptions
    from capfix_cli.runs.run_store import Run


@dataclass(frozen=True)
class GenerateInputs:
    """What to caption, by what and how.

    Attributes:
        model: a checkpoint, or the name that an adapter takes.
        audio: folder of clips.
        adapter: ``FILE.py:FACTORY`` or None.
        given: what is said about the model.
        decoding: None where nothing says how.
        found_by: words on where the decoding comes from, if not from the command line.
    """

    model: str | None
    audio: str | None
    adapter: str | None
    given: ModelOptions
    decoding: DecodingOptions | None = None
    found_by: str = ""

    @property
    def options(self) -> DecodingOptions:
        """How to decode: greedily where nothing says otherwise."""
        from capfix_cli.decoding.decoding_options import GREEDY

        return self.decoding or GREEDY


def complete(work: GenerateInputs, *, quiet: bool) -> GenerateInputs:
    """Fill in what the command line does not say from the latest run.

    Its decoding is taken for its own model only.

    Raises:
        CapfixError: there is none to take it from.
    """
    from capfix_cli.audio.audio_sources import PIPED

    if work.model is not None and work.audio is not None:
        return work if work.decoding is not None else _with_best(work, _own_run(work.model))
    run = _latest(work.model, work.audio)
    known = run.command()
    if work.model is None:
        work = replace(
            work,
            model=str(known["model"]),
            adapter=work.adapter or known.get("adapter"),
            given=work.given.filled_from(known.get("given") or {}),
        )
    audio = work.audio or str(known["audio"])
    if audio == PIPED:
        raise CapfixError(
            f"The clips of the run {run.id} came through a pipe.", "Give --audio again."
        )
    work = replace(work, audio=audio)
    if not quiet:
        typer.echo(f"Run {run.id}: {work.model} on {work.audio}", err=True)
    of_run = Path(str(work.model)).resolve() == Path(str(known["model"])).resolve()
    return _with_best(work, run) if work.decoding is None and of_run else work


def _with_best(work: GenerateInputs, run: Run | None) -> GenerateInputs:
    """Decode as a run found best, where it found anything."""
    from capfix_cli.decoding.decoding_options import options_from_dict
    from capfix_cli.decoding.generation_config import DECODING, read_decoding

    if run is None:
        return work
    if (run.folder / DECODING).is_file():
        found = read_decoding(run.folder / DECODING)
    else:
        best = run.diagnosis().best_decoding
        if best is None:
            return work
        found = options_from_dict(best)
    return replace(work, decoding=found, found_by=f", as the run {run.id} found best")


def _own_run(model: str) -> Run | None:
    """Give the latest run if it is of this model."""
    from capfix_cli.runs.run_store import all_runs

    latest = next(iter(all_runs()[-1:]), None)
    known = str(latest.command().get("model", "")) if latest is not None else ""
    same = bool(known) and Path(model).exists() and Path(known).resolve() == Path(model).resolve()
    return latest if same else None


def _latest(model: str | None, audio: str | None) -> Run:
    """Give the run that names what the command line did not.

    Raises:
        CapfixError: there is none, or it does not say.
    """
    from capfix_cli.runs.run_store import find_run

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
