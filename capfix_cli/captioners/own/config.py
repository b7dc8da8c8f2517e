"""The configuration of capfix's own captioners, and the document's repairs as configurations."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from capfix_cli.errors import CapfixError

Pooling = Literal["time", "frequency"]
Conditioning = Literal["initial-state", "every-step", "attention"]


@dataclass(frozen=True)
class FrontEndConfig:
    """Natural-log mel spectrogram.

    Attributes:
        sample_rate: Hz.
        n_fft: samples a window; 40 ms at 16 kHz.
        hop_length: samples between frames; 20 ms at 16 kHz.
        n_mels: mel bands.
    """

    sample_rate: int = 16_000
    n_fft: int = 640
    hop_length: int = 320
    n_mels: int = 64


@dataclass(frozen=True)
class EncoderConfig:
    """CNN encoder.

    Attributes:
        pooling: ``time`` halves time and frequency in every block and then averages time away
            (the document's failing baseline); ``frequency`` pools frequency only and keeps time.
        depth: convolution blocks, 1 to 6.
        residual: add each block's input to its output.
        channels: channels of the first block; they double up to four times that.
        width: size of the memory's vectors.
        segments: for vector conditioning with time kept: how many stretches of the clip, in
            their order, make up the vector.
        pretrained: weights to start from; only ``none`` here.
        dropout: after each block (Dropout2d).
    """

    pooling: Pooling = "time"
    depth: int = 3
    residual: bool = False
    channels: int = 16
    width: int = 128
    segments: int = 4
    pretrained: Literal["none"] = "none"
    dropout: float = 0.2


@dataclass(frozen=True)
class CaptionerConfig:
    """One of capfix's own captioners.

    Attributes:
        front_end: waveform to log-mel frames.
        encoder: log-mel frames to memory.
        conditioning: how the decoder hears the memory.
        decoder: kind of decoder; only ``gru`` here.
        embedding: width of the word embeddings.
        hidden: width of the decoder's state.
        dropout: in the decoder, on embeddings and outputs.
        max_length: most tokens of a caption.
    """

    front_end: FrontEndConfig = field(default_factory=FrontEndConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    conditioning: Conditioning = "initial-state"
    decoder: Literal["gru"] = "gru"
    embedding: int = 128
    hidden: int = 192
    dropout: float = 0.3
    max_length: int = 30


# The document's failing baseline: time pooled away, audio only in the first hidden state.
BASELINE = CaptionerConfig()
# Its priority 2: time kept, audio at every step.
PRIORITY_2 = CaptionerConfig(encoder=EncoderConfig(pooling="frequency"), conditioning="every-step")
# Its priority 3: attention over the frames.
PRIORITY_3 = CaptionerConfig(
    encoder=EncoderConfig(pooling="frequency", residual=True), conditioning="attention"
)
PRESETS = {"baseline": BASELINE, "priority-2": PRIORITY_2, "priority-3": PRIORITY_3}


def to_dict(config: CaptionerConfig) -> dict[str, Any]:
    """Give the configuration as plain nested dicts."""
    return dataclasses.asdict(config)


def from_dict(data: Any) -> CaptionerConfig:
    """Read a configuration, all errors at once.

    Raises:
        CapfixError: for unknown fields and values of the wrong kind or out of range; the message
            lists every one.
    """
    errors: list[str] = []
    config: CaptionerConfig | None = _read(CaptionerConfig, data, "", errors)
    if config is not None and not errors:
        errors += _range_errors(config)
    if config is None or errors:
        raise CapfixError(
            f"The captioner's config has {len(errors)} error(s): {'; '.join(errors)}.",
            "Mend these fields; the fields and their defaults are in docs/captioners.md.",
        )
    return config


_SECTIONS: dict[str, type] = {"front_end": FrontEndConfig, "encoder": EncoderConfig}
_CHOICES: dict[str, tuple[Any, ...]] = {
    "pooling": get_args(Pooling),
    "conditioning": get_args(Conditioning),
    "decoder": ("gru",),
    "pretrained": ("none",),
}


def _read(kind: type, data: Any, place: str, errors: list[str]) -> Any:
    """Build ``kind`` from a dict, noting each error with its dotted place."""
    if not isinstance(data, dict):
        errors.append(f"{place.rstrip('.') or 'config'} must be a mapping, not {data!r:.60}")
        return None
    fields = {f.name: f for f in dataclasses.fields(kind)}
    values: dict[str, Any] = {}
    for name, value in data.items():
        if name not in fields:
            errors.append(f"{place}{name} is not a field (known: {', '.join(fields)})")
        elif name in _SECTIONS:
            values[name] = _read(_SECTIONS[name], value, f"{place}{name}.", errors)
        elif name in _CHOICES and value not in _CHOICES[name]:
            errors.append(f"{place}{name} is {value!r:.40}, not one of {', '.join(_CHOICES[name])}")
        elif not _right_type(value, str(fields[name].type)):
            errors.append(f"{place}{name} is {value!r:.40}, not of type {fields[name].type}")
        else:
            values[name] = value
    return None if errors else kind(**values)


def _right_type(value: Any, annotation: str) -> bool:
    if annotation == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    if annotation == "float":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, bool) if annotation == "bool" else isinstance(value, str)


def _range_errors(config: CaptionerConfig) -> list[str]:
    """Check every number against the range in which a network can be built."""
    encoder, front = config.encoder, config.front_end
    ranges = {
        "front_end.sample_rate": (front.sample_rate, 1_000, 192_000),
        "front_end.n_fft": (front.n_fft, 16, 65_536),
        "front_end.hop_length": (front.hop_length, 1, 65_536),
        "front_end.n_mels": (front.n_mels, 1, 512),
        "encoder.depth": (encoder.depth, 1, 6),
        "encoder.channels": (encoder.channels, 1, 4_096),
        "encoder.width": (encoder.width, 1, 16_384),
        "encoder.segments": (encoder.segments, 1, 256),
        "encoder.dropout": (encoder.dropout, 0.0, 0.95),
        "dropout": (config.dropout, 0.0, 0.95),
        "embedding": (config.embedding, 1, 16_384),
        "hidden": (config.hidden, 1, 16_384),
        "max_length": (config.max_length, 1, 1_000),
    }
    errors = [
        f"{name} is {value}, outside {low}..{high}"
        for name, (value, low, high) in ranges.items()
        if not low <= value <= high
    ]
    if front.n_mels < 2**encoder.depth:
        errors.append(f"encoder.depth {encoder.depth} halves {front.n_mels} mel bands to nothing")
    return errors
