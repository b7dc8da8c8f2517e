"""What of a config can be built: every number's range, and which fields go together."""

from __future__ import annotations

import dataclasses

from capfix_cli.captioners.own.config_sections import FRONT_ENDS, CaptionerConfig


def range_errors(config: CaptionerConfig) -> list[str]:
    """Check every number against the range in which a network can be built."""
    encoder, front, ast = config.encoder, config.front_end, config.encoder.ast
    ranges = {
        "front_end.sample_rate": (front.sample_rate, 1_000, 192_000),
        "front_end.n_fft": (front.n_fft, 16, 65_536),
        "front_end.hop_length": (front.hop_length, 1, 65_536),
        "front_end.n_mels": (front.n_mels, 1, 512),
        "encoder.depth": (encoder.depth, 1, 6 if encoder.kind == "cnn" else 48),
        "encoder.channels": (encoder.channels, 1, 4_096),
        "encoder.width": (encoder.width, 1, 16_384),
        "encoder.segments": (encoder.segments, 1, 256),
        "encoder.dropout": (encoder.dropout, 0.0, 0.95),
        "encoder.heads": (encoder.heads, 1, 256),
        "encoder.ast.hidden": (ast.hidden, 1, 16_384),
        "encoder.ast.layers": (ast.layers, 1, 96),
        "encoder.ast.heads": (ast.heads, 1, 256),
        "encoder.ast.feed_forward": (ast.feed_forward, 1, 65_536),
        "encoder.ast.max_length": (ast.max_length, 16, 65_536),
        "encoder.ast.frequency_stride": (ast.frequency_stride, 1, 112),
        "encoder.ast.time_stride": (ast.time_stride, 1, 16),
        "encoder.ast.epsilon": (ast.epsilon, 0.0, 1.0),
        "dropout": (config.dropout, 0.0, 0.95),
        "embedding": (config.embedding, 1, 16_384),
        "hidden": (config.hidden, 1, 16_384),
        "max_length": (config.max_length, 1, 1_000),
        "decoder_layers": (config.decoder_layers, 1, 48),
        "decoder_heads": (config.decoder_heads, 1, 256),
    }
    return [
        f"{name} is {value}, outside {low}..{high}"
        for name, (value, low, high) in ranges.items()
        if not low <= value <= high
    ]


def contradictions(config: CaptionerConfig) -> list[str]:
    """Say which fields do not go together."""
    encoder, front = config.encoder, config.front_end
    errors = []
    borrowed = encoder.pretrained != "none"
    wanted = FRONT_ENDS[encoder.pretrained] if borrowed else None
    if wanted is not None and front != wanted:
        fields = ", ".join(f"{k}: {v}" for k, v in dataclasses.asdict(wanted).items())
        errors.append(f"encoder.pretrained {encoder.pretrained} needs front_end {{{fields}}}")
    for name, given in (("weights", encoder.weights), ("frozen", encoder.frozen)):
        if given and not borrowed:
            errors.append(f"encoder.{name} is {given!r:.60}, but encoder.pretrained is none")
    if front.kind in FRONT_ENDS and front != FRONT_ENDS[front.kind] and wanted is None:
        errors.append(f"front_end.kind {front.kind} has its own settings: leave its others out")
    if not borrowed and encoder.kind == "cnn" and front.n_mels < 2**encoder.depth:
        errors.append(f"encoder.depth {encoder.depth} halves {front.n_mels} mel bands to nothing")
    if not borrowed and encoder.kind == "transformer":
        errors += _uneven("encoder.width", encoder.width, "encoder.heads", encoder.heads)
    if encoder.pretrained == "ast":
        ast = encoder.ast
        errors += _uneven("encoder.ast.hidden", ast.hidden, "encoder.ast.heads", ast.heads)
    if config.decoder == "transformer":
        errors += _uneven("hidden", config.hidden, "decoder_heads", config.decoder_heads)
        if config.conditioning != "attention":
            errors.append(
                f"decoder transformer hears by attention, but conditioning is {config.conditioning}"
            )
    return errors


def _uneven(width_name: str, width: int, heads_name: str, heads: int) -> list[str]:
    """Heads part a width evenly, and a place's sines and cosines come in pairs."""
    if width % heads:
        return [f"{width_name} {width} cannot be parted by {heads_name} {heads}"]
    return [f"{width_name} {width} is odd"] if width % 2 else []
