"""What ``capfix generate`` works on: as the command line says, else as the latest run has it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from capfix_cli.core.errors import CapfixError

if TYPE_CHECKING:
    from capfix_cli.checkpoints.model_options import ModelOptions
    from capfix_cli.checkpoints.text_source import TextSource
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
        features: paths of features in place of audio.
        feature_field: which of a clip's arrays are its features.
        found_by: words on where the decoding comes from, if not from the command line.
    """

    model: str | None
    audio: str | None
    adapter: str | None
    given: ModelOptions
    decoding: DecodingOptions | None = None
    features: tuple[str, ...] = ()
    feature_field: str | None = None
    found_by: str = ""

    @property
    def clips(self) -> str:
        """Where the clips are, as a set of them is called."""
        return " and ".join(self.features) if self.features else str(self.audio)

    @property
    def named(self) -> bool:
        """Whether it is said what captions the clips."""
        return self.model is not None or self.given.source is not None

    @property
    def name(self) -> str:
        """Of what captions the clips."""
        source = self.given.source
        return str(self.model) if source is None else source.told

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

    if work.named and (work.audio is not None or work.features):
        return work if work.decoding is not None else _with_best(work, _own_run(work))
    run = _latest("" if work.named else None, work.audio)
    known = run.command()
    if not work.named:
        told = known.get("given") or {}
        source = _source(told.get("source"))
        work = replace(
            work,
            model=None if source is not None else str(known["model"]),
            adapter=work.adapter or known.get("adapter"),
            given=replace(work.given.filled_from(told), source=source),
        )
    if not work.features and work.audio is None and known.get("features"):
        field = work.feature_field or known.get("feature_field")
        work = replace(work, features=tuple(known["features"]), feature_field=field)
    audio = work.audio or str(known["audio"])
    if not work.features and audio == PIPED:
        raise CapfixError(
            f"The clips of the run {run.id} came through a pipe.", "Give --audio again."
        )
    work = replace(work, audio=audio)
    if not quiet:
        typer.echo(f"Run {run.id}: {work.name} on {work.clips}", err=True)
    return _with_best(work, run) if work.decoding is None and _is_of(run, work) else work


def _source(told: object) -> TextSource | None:
    """Give where the captions of a run came from; None where a model was run."""
    from capfix_cli.checkpoints.text_source import TextSource
    from capfix_cli.schemas.record_reading import RecordError, read_record

    if told is None:
        return None
    try:
        return read_record(TextSource, told)
    except RecordError as error:
        raise CapfixError(
            f"The latest run does not say where its captions came from: {error.first()}.",
            "Give --caption-function, --caption-command or --endpoint.",
        ) from error


def _is_of(run: Run, work: GenerateInputs) -> bool:
    """Whether a run is of what is to caption."""
    known = run.command()
    told = (known.get("given") or {}).get("source")
    own = work.given.source
    if own is not None or told is not None:
        if own is None or told is None:
            return False
        same = ("function", "command", "endpoint", "endpoint_model")
        return all(getattr(own, name) == told.get(name) for name in same)
    model = str(known.get("model", ""))
    return bool(model) and Path(str(work.model)).resolve() == Path(model).resolve()


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


def _own_run(work: GenerateInputs) -> Run | None:
    """Give the latest run if it is of what is to caption."""
    from capfix_cli.runs.run_store import all_runs

    latest = next(iter(all_runs()[-1:]), None)
    if latest is None or (work.given.source is None and not Path(str(work.model)).exists()):
        return None
    return latest if _is_of(latest, work) else None


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
