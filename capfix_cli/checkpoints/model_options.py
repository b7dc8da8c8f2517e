"""What the command line says about a model, for the loaders and adapters that it runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from typing import Any

from capfix_cli.checkpoints.text_source import TextSource


@dataclass(frozen=True)
class ModelOptions:
    """Options about the model.

    Attributes:
        vocabulary: path of a word list or word map; None where the checkpoint must hold one.
        bos: the token that opens captions, by name or id; None where its name tells.
        eos: the token that ends them, likewise.
        pad: the token that fills batches, likewise.
        trust: whether code that belongs to the checkpoint may run.
        network: ``MODULE:CLASS`` of a network whose own methods are run; None for an adapter.
        network_args: ``NAME=VALUE,...`` for its constructor, beyond what the checkpoint tells.
        front_end: ``MODULE:FUNCTION`` that makes its features; None where it is found.
        sample_rate: Hz of its audio; None where something beside it tells.
        prompt: what a captioner that takes an instruction is told; None where its own one serves.
        source: where captions come from that are given as text alone; None where a model is run.
    """

    vocabulary: str | None = None
    bos: str | None = None
    eos: str | None = None
    pad: str | None = None
    trust: bool = False
    prompt: str | None = None
    network: str | None = None
    network_args: str | None = None
    front_end: str | None = None
    sample_rate: int | None = None
    source: TextSource | None = None

    def filled_from(self, told: Mapping[str, Any]) -> ModelOptions:
        """Take what is not given from an earlier command; trust is given anew each time."""
        known: dict[str, Any] = {
            name: told.get(name) for name in REMEMBERED if getattr(self, name) is None
        }
        return replace(self, **known)


# What a later command takes over from a run as it is: trust is given anew each time, and where
# captions come from is a record of its own.
REMEMBERED = tuple(row.name for row in fields(ModelOptions) if row.name not in {"trust", "source"})
NO_MODEL_OPTIONS = ModelOptions()
_current: ContextVar[ModelOptions] = ContextVar("given", default=NO_MODEL_OPTIONS)


def given() -> ModelOptions:
    """The options of the command that runs now."""
    return _current.get()


@contextlib.contextmanager
def use(options: ModelOptions) -> Iterator[None]:
    """Let loaders and adapters see these options."""
    token = _current.set(options)
    try:
        yield
    finally:
        _current.reset(token)
