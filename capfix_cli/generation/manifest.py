"""What captions were made with: two commands may share a side file only where this is the same."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from capfix_cli.checkpoints.model_options import (
    NO_MODEL_OPTIONS,
    REMEMBERED,
    ModelOptions,
)
from capfix_cli.decoding.decoding_options import GREEDY, DecodingOptions, flag
from capfix_cli.schemas.record_reading import read_record

SCHEMA = "capfix.part/1"


@dataclass(frozen=True)
class GenerationManifest:
    """Everything that decides a caption; the device, batch size and processes do not.

    Attributes:
        model: path, or the name that an adapter takes.
        audio: path of the folder.
        decoding: as ``DecodingOptions.to_dict`` gives it.
        seed: of draws.
        adapter: ``FILE.py:FACTORY`` or None.
        given: what the command line says about the vocabulary and special tokens.
        sha256: of the model; None before it is loaded, and where there is no file.
    """

    model: str
    audio: str
    decoding: dict[str, Any]
    seed: int
    adapter: str | None = None
    given: dict[str, str | None] = field(default_factory=dict)
    sha256: str | None = None

    def with_model(self, sha256: str | None) -> GenerationManifest:
        """Say which bytes the model turned out to be."""
        return replace(self, sha256=sha256)

    def to_header(self, version: str) -> dict[str, Any]:
        """Give the first line of a side file."""
        return {"schema": SCHEMA, "capfix_version": version, **asdict(self)}


@dataclass(frozen=True, kw_only=True)
class SideFileHeader(GenerationManifest):
    """The first line of a side file.

    Attributes:
        schema: of the file.
        capfix_version: that made it.
    """

    schema: Literal["capfix.part/1"]
    capfix_version: str


def made_from_header(header: Any) -> GenerationManifest:
    """Read what :meth:`GenerationManifest.to_header` gave.

    Raises:
        RecordError: it is not such a header.
    """
    whole = read_record(SideFileHeader, header)
    own = {row.name: getattr(whole, row.name) for row in fields(GenerationManifest)}
    return GenerationManifest(**own)


def build_manifest(
    model: str,
    audio: str,
    options: DecodingOptions,
    seed: int,
    adapter: str | None = None,
    *,
    given: ModelOptions = NO_MODEL_OPTIONS,
    feature_field: str | None = None,
) -> GenerationManifest:
    """Gather what a command's captions are made with, its paths from the root."""
    told = {name: _as_text(getattr(given, name)) for name in REMEMBERED}
    if given.source is not None:  # the model is what is asked
        told["asked"] = given.source.told
    if feature_field is not None:
        told["feature-field"] = feature_field
    told["vocabulary"] = told["vocabulary"] and _whole_path(told["vocabulary"])
    if adapter is not None:
        file, colon, factory = adapter.rpartition(":")
        adapter = f"{_whole_path(file)}:{factory}" if colon else _whole_path(adapter)
    model, audio = _whole_path(model), _whole_path(audio)
    return GenerationManifest(model, audio, options.to_dict(), seed, adapter, told)


def _as_text(value: Any) -> str | None:
    return None if value is None else str(value)


def _whole_path(path: str) -> str:
    """Give the path from the root where it exists; a name that an adapter takes stays a name."""
    return str(Path(path).resolve()) if Path(path).exists() else path


def differences(old: GenerationManifest, new: GenerationManifest) -> list[str]:
    """Say which settings of two commands differ, each in words; none where captions may mix.

    A model that was moved is the same model; before it is loaded only its path is known, and
    another path says nothing yet.

    >>> one = Made("m.pt", "clips", {"do_sample": True, "top_p": 0.9}, 0)
    >>> differences(one, Made("m.pt", "clips", {"do_sample": False, "num_beams": 5}, 1))
    ['--seed was 0, now 1', 'sampling was on, now off', '--top-p was 0.9, now 1.0', \
'--num-beams was 1, now 5']
    """
    found = []
    if old.sha256 is None or new.sha256 is None:
        moved = old.model != new.model and old.sha256 is None
        found += [f"MODEL was {old.model}, now {new.model}"] if moved else []
    elif old.sha256 != new.sha256:
        found.append(f"MODEL was {_model(old)}, now {_model(new)}")
    for name in ("audio", "adapter", "seed"):
        found += _changed(f"--{name}", getattr(old, name), getattr(new, name))
    for name in sorted({*old.given, *new.given}):
        found += _changed(f"--{name}", old.given.get(name), new.given.get(name))
    for name in dict.fromkeys([*old.decoding, *new.decoding]):
        usual = getattr(GREEDY, name, None)
        before, after = old.decoding.get(name, usual), new.decoding.get(name, usual)
        if name == "do_sample":
            found += _changed("sampling", *("on" if value else "off" for value in (before, after)))
        else:
            found += _changed(flag(name), before, after)
    return found


def _model(made: GenerationManifest) -> str:
    return f"{made.model} ({str(made.sha256)[:8]})"


def _changed(what: str, before: Any, after: Any) -> list[str]:
    if before == after:
        return []
    shown = ["not given" if value is None else str(value) for value in (before, after)]
    return [f"{what} was {shown[0]}, now {shown[1]}"]
