"""Configurations of capfix's own captioners: read, checked, and the document's repairs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from capfix_cli.captioners.own import config_checks as checks
from capfix_cli.captioners.own.config_sections import (
    FRONT_ENDS,
    AstConfig,
    CaptionerConfig,
    Conditioning,
    EncoderConfig,
    FrontEndConfig,
    Pooling,
    Pretrained,
)
from capfix_cli.core.errors import CapfixError
from capfix_cli.schemas.record_reading import RecordError, read_record

__all__ = [
    "AST",
    "BASELINE",
    "FRONT_ENDS",
    "PANNS",
    "PRESETS",
    "PRIORITY_2",
    "PRIORITY_3",
    "PRIORITY_4",
    "TRANSFORMER_DECODER",
    "AstConfig",
    "CaptionerConfig",
    "Conditioning",
    "EncoderConfig",
    "FrontEndConfig",
    "Pooling",
    "Pretrained",
    "check",
    "from_dict",
    "to_dict",
    "with_implied",
    "with_pretrained",
]


CNN14_CHANNELS = 64  # of the published model's first block


def with_pretrained(
    config: CaptionerConfig, kind: Pretrained, weights: str | None, *, frozen: bool = True
) -> CaptionerConfig:
    """Give a configuration a pre-trained encoder, with the front end that belongs to it."""
    encoder = dataclasses.replace(config.encoder, pretrained=kind, weights=weights, frozen=frozen)
    if kind == "panns":
        encoder = dataclasses.replace(encoder, channels=CNN14_CHANNELS)
    front_end = FRONT_ENDS.get(kind, config.front_end)
    return dataclasses.replace(config, encoder=encoder, front_end=front_end)


# The document's failing baseline: time pooled away, audio only in the first hidden state.
BASELINE = CaptionerConfig()
# Its priority 2: time kept, audio at every step.
PRIORITY_2 = CaptionerConfig(encoder=EncoderConfig(pooling="frequency"), conditioning="every-step")
# Its priority 3: attention over the frames.
PRIORITY_3 = CaptionerConfig(
    encoder=EncoderConfig(pooling="frequency", residual=True), conditioning="attention"
)
# Its priority 4, item 10: a full Transformer; and the step before it, a Transformer decoder alone.
PRIORITY_4 = CaptionerConfig(
    encoder=EncoderConfig(pooling="frequency", kind="transformer", width=192),
    conditioning="attention",
    decoder="transformer",
    embedding=192,
)
TRANSFORMER_DECODER = dataclasses.replace(PRIORITY_3, decoder="transformer")
# Its item 11: borrowed weights, kept as they are until the decoder has learnt to use them.
PANNS = with_pretrained(PRIORITY_3, "panns", None)
AST = with_pretrained(PRIORITY_3, "ast", None)
PRESETS = {
    "baseline": BASELINE,
    "priority-2": PRIORITY_2,
    "priority-3": PRIORITY_3,
    "priority-4": PRIORITY_4,
    "priority-4-transformer-decoder": TRANSFORMER_DECODER,
    "priority-4-panns": PANNS,
    "priority-4-ast": AST,
}


def to_dict(config: CaptionerConfig) -> dict[str, Any]:
    """Give the configuration as plain nested dicts."""
    return dataclasses.asdict(config)


def from_dict(data: Any) -> CaptionerConfig:
    """Read a configuration, all errors at once.

    Left out, the front end is the pre-trained encoder's and a Transformer decoder has attention.

    Raises:
        CapfixError: for unknown fields and values of the wrong kind or out of range; the message
            lists every one.
    """
    try:
        config = read_record(CaptionerConfig, with_implied(data))
    except RecordError as error:
        raise _wrong(error.problems) from error
    errors = checks.contradictions(config)
    if errors:
        raise _wrong(errors)
    return config


def check(config: CaptionerConfig) -> None:
    """Refuse what cannot be built.

    Raises:
        CapfixError: numbers out of range and fields that contradict each other, all at once.
    """
    from_dict(to_dict(config))


def _wrong(errors: Sequence[str]) -> CapfixError:
    return CapfixError(
        f"The captioner's config has {len(errors)} error(s): {'; '.join(errors)}.",
        "Mend these fields; the fields and their defaults are in docs/captioners.md.",
    )


def with_implied(data: Any) -> Any:
    """Add what other fields decide, where it was left out."""
    if not isinstance(data, Mapping):
        return data
    encoder = data.get("encoder")
    pretrained = encoder.get("pretrained") if isinstance(encoder, Mapping) else None
    implied: dict[str, Any] = {}
    if isinstance(pretrained, str) and pretrained in FRONT_ENDS:
        implied["front_end"] = dataclasses.asdict(FRONT_ENDS[pretrained])
    if data.get("decoder") == "transformer":
        implied["conditioning"] = "attention"
    return {**implied, **data}
